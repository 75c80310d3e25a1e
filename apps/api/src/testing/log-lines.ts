import { Writable } from 'node:stream'
import type { Logger } from '@atoll/service'
import { pino } from 'pino'
import { describeError } from '../error-log.ts'

/** Returns a logger that keeps its lines, as objects. */
export function createLogLines(): { log: Logger; lines: Record<string, unknown>[]; text(): string } {
  const lines: Record<string, unknown>[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  return {
    log: pino({ level: 'trace', serializers: { err: (error) => describeError(error) } }, sink),
    lines,
    text: () => JSON.stringify(lines),
  }
}
