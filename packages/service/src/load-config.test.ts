import { Type } from 'typebox'
import { describe, expect, it } from 'vitest'
import { ConfigError, loadConfig } from './load-config.ts'

const Schema = Type.Object({
  ATOLL_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 3000 }),
  ATOLL_DATA_DIR: Type.String(),
  ATOLL_PUBLIC: Type.Optional(Type.Boolean()),
  ATOLL_RUNNER_TOKEN: Type.Optional(Type.String({ minLength: 16 })),
})

describe('loadConfig', () => {
  it('converts, applies defaults, ignores other variables and freezes', () => {
    const config = loadConfig(Schema, { ATOLL_DATA_DIR: '/data', ATOLL_PUBLIC: 'true', PATH: '/bin' })
    expect(config).toEqual({ ATOLL_PORT: 3000, ATOLL_DATA_DIR: '/data', ATOLL_PUBLIC: true })
    expect(Object.isFrozen(config)).toBe(true)
  })

  it('takes an empty string for absent', () => {
    expect(loadConfig(Schema, { ATOLL_DATA_DIR: '/data', ATOLL_PORT: '' }).ATOLL_PORT).toBe(3000)
  })

  it('reports every problem at once, and no secret', () => {
    const error = failure(() => loadConfig(Schema, { ATOLL_PORT: '99999', ATOLL_RUNNER_TOKEN: 'hunter2' }))
    expect(error).toBeInstanceOf(ConfigError)
    expect(error?.message).toContain('ATOLL_PORT')
    expect(error?.message).toContain('99999')
    expect(error?.message).toContain('ATOLL_DATA_DIR')
    expect(error?.message).toContain('ATOLL_RUNNER_TOKEN')
    expect(error?.message).not.toContain('hunter2')
  })

  it('refuses a word where a number belongs', () => {
    expect(failure(() => loadConfig(Schema, { ATOLL_DATA_DIR: '/d', ATOLL_PORT: 'eighty' }))?.message).toContain(
      'eighty',
    )
  })
})

function failure(run: () => unknown): Error | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
