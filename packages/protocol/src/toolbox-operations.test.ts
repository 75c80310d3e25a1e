import type { TSchema } from 'typebox'
import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import type { Channel } from './operation.ts'
import { toolboxChannels, toolboxOperations } from './toolbox-operations.ts'

/** Expects lower-case segments, and exactly the declared parameters. */
function expectPath(declared: { path: string; params?: TSchema }): void {
  expect(declared.path).toMatch(/^(\/([a-z][a-z0-9-]*|\{[a-zA-Z]+\}))+$/)
  const names = [...declared.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  const { properties = {} } = (declared.params ?? {}) as { properties?: object }
  expect(names).toEqual(Object.keys(properties))
}

describe('toolboxOperations', () => {
  const operations = Object.entries(toolboxOperations)

  it('declares each method and path once', () => {
    const keys = operations.map(([, operation]) => `${operation.method} ${operation.path}`)
    expect(new Set(keys).size).toBe(keys.length)
  })

  it.each(operations)('%s names errors that exist and a success status', (_name, operation) => {
    for (const code of operation.errors) expect(errorStatus).toHaveProperty(code)
    expect(operation.status).toBeGreaterThanOrEqual(200)
    expect(operation.status).toBeLessThan(300)
    expectPath(operation)
  })
})

describe('toolboxChannels', () => {
  const channels = Object.entries<Channel>(toolboxChannels)

  it('declares each path once', () => {
    const paths = channels.map(([, channel]) => channel.path)
    expect(new Set(paths).size).toBe(paths.length)
  })

  it('declares parameters and errors that exist', () => {
    for (const [, channel] of channels) {
      for (const code of channel.errors) expect(errorStatus).toHaveProperty(code)
      expectPath(channel)
    }
  })
})
