import { describe, expect, it } from 'vitest'
import { loadUpConfig } from './config.ts'

describe('loadUpConfig', () => {
  it('defaults to loopback, port 3000 and .atoll in the checkout', () => {
    expect(loadUpConfig({}, '/checkout')).toEqual({
      dataDir: '/checkout/.atoll',
      host: '127.0.0.1',
      port: 3000,
      logLevel: 'info',
    })
  })

  it.each(['trace', 'debug', 'info', 'warn', 'error', 'silent'])(
    'takes the log level %s, as the programs do',
    (level) => {
      expect(loadUpConfig({ ATOLL_LOG_LEVEL: level }, '/checkout').logLevel).toBe(level)
    },
  )

  it('names every variable that is wrong', () => {
    const load = () => loadUpConfig({ ATOLL_PORT: '70000', ATOLL_LOG_LEVEL: 'loud' }, '/checkout')
    expect(load).toThrow('ATOLL_PORT')
    expect(load).toThrow('ATOLL_LOG_LEVEL')
  })
})
