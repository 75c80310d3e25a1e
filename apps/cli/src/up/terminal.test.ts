import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createTerminal } from './terminal.ts'

function shown(logLevel: string, lines: string[]): string {
  const err = new PassThrough()
  const terminal = createTerminal(new PassThrough(), err, logLevel)
  for (const line of lines) terminal.showLogLine('api', line)
  return String(err.read() ?? '').replaceAll(/^\d\d:\d\d:\d\d /gm, '')
}

const line = (level: number, rest: object) => JSON.stringify({ level, time: 0, ...rest })

describe('the terminal', () => {
  it('shows warnings and failures with their reason, nothing below', () => {
    const lines = [
      line(30, { msg: 'quiet' }),
      line(40, { msg: 'odd' }),
      line(50, { msg: 'bad', err: { message: 'why' } }),
    ]
    expect(shown('info', lines)).toBe('api warn: odd\napi error: bad: why\n')
  })

  it('shows everything at level debug', () => {
    expect(shown('debug', [line(20, { msg: 'detail' })])).toBe('api debug: detail\n')
  })

  it.each(['    at main.js:1:1', '{ not json', '{"level":"high","time":0}'])('shows %j as it is', (text) => {
    expect(shown('info', [text])).toBe(`api ${text}\n`)
  })
})
