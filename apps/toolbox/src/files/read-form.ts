import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { MultipartParser } from './multipart-parser.ts'

/**
 * Feeds a form to the parser and each of its files to `save`. Rejects with the first failure; files that were whole by
 * then are saved. Reads on only when all files but the latest are saved: small files, which the parser takes whole,
 * would pile up otherwise.
 */
export async function readForm(
  stream: Readable,
  parser: MultipartParser,
  save: (content: Readable, fieldName: string) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const saving: Promise<void>[] = []
  let latest: Readable | undefined
  parser.onFile((content, fieldName) => {
    latest = content
    const saved = save(content, fieldName)
    saved.catch((error: unknown) => stop.abort(error))
    saving.push(saved)
  })
  async function* pacedBySaves(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    let saved = 0
    for await (const piece of pieces) {
      yield piece
      // A file that fails aborts the form.
      for (; saved < saving.length - 1; saved += 1) await saving[saved]?.catch(() => undefined)
    }
  }
  try {
    await pipeline(stream, pacedBySaves, parser.sink, { signal: stop.signal })
    await Promise.all(saving)
  } catch (error) {
    const cause = stop.signal.aborted ? stop.signal.reason : parser.translate(error)
    // The parser does not end the part it was in the middle of; the parts before it are whole.
    latest?.destroy(error instanceof Error ? error : undefined)
    await Promise.allSettled(saving)
    throw cause
  }
}
