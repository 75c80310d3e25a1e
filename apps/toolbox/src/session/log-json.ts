import { StringDecoder } from 'node:string_decoder'
import { readLog } from './log-reader.ts'
import { createMarker } from './marked-frames.ts'
import type { OutputLog, OutputStream } from './output-log.ts'

/** Reads the text of a log in pieces of bounded size. */
export type LogText = (log: OutputLog, signal: AbortSignal) => AsyncIterable<string>

/** The fields of a JSON object, in order: values that are ready, and texts that are read while the object is sent. */
export type JsonFields = Readonly<Record<string, string | number | LogText>>

/** Yields a JSON object with whole logs in it, which need not fit in memory. */
export async function* streamJson(log: OutputLog, fields: JsonFields, signal: AbortSignal): AsyncGenerator<Buffer> {
  let before = '{'
  for (const [name, value] of Object.entries(fields)) {
    yield Buffer.from(`${before}${JSON.stringify(name)}:`)
    before = ','
    if (typeof value !== 'function') {
      yield Buffer.from(JSON.stringify(value))
      continue
    }
    yield Buffer.from('"')
    for await (const text of value(log, signal)) yield Buffer.from(JSON.stringify(text).slice(1, -1))
    yield Buffer.from('"')
  }
  yield Buffer.from('}')
}

/** Returns a reader of both streams, or of one; bytes that are not UTF-8 are replaced. */
export function plainText(only?: OutputStream): LogText {
  return async function* (log, signal) {
    // Each stream has its own decoder, since the other stream may come between the bytes of a character.
    const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
    for await (const pieces of readLog(log, { follow: false, signal })) {
      const wanted = only === undefined ? pieces : pieces.filter(({ stream }) => stream === only)
      yield wanted.map(({ stream, bytes }) => decoders[stream].write(bytes)).join('')
    }
    yield decoders.stdout.end() + decoders.stderr.end()
  }
}

/** Reads both streams, told apart by marks before each line. */
export const markedText: LogText = async function* (log, signal) {
  const marker = createMarker()
  const decoder = new StringDecoder('utf8')
  for await (const pieces of readLog(log, { follow: false, signal })) {
    yield marker(pieces)
      .map((frame) => decoder.write(frame))
      .join('')
  }
  yield decoder.end()
}
