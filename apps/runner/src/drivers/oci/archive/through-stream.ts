import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import type { JailOptions } from './jail.ts'
import { endOfChild, spawnJailed } from './jail.ts'

/** Yields a stream's content through a transform. Reading throws the error of `stream`, else `failure` of the transform's. */
export async function* throughTransform(
  stream: AsyncIterable<Buffer>,
  transform: Duplex,
  failure: (cause: unknown) => unknown = (cause) => cause,
): AsyncGenerator<Buffer> {
  const source = Readable.from(stream, { objectMode: false })
  let broken: unknown
  source.once('error', (error) => {
    broken = error
    transform.destroy(error)
  })
  source.pipe(transform)
  try {
    for await (const chunk of transform) yield chunk
  } catch (cause) {
    throw broken ?? failure(cause)
  } finally {
    source.destroy()
    transform.destroy()
  }
}

/** Yields a stream's content through a jailed program. Reading throws as `throughTransform` does, and the signal's reason. */
export async function* throughProgram(
  stream: AsyncIterable<Buffer>,
  jail: JailOptions,
  failure: (cause: unknown) => unknown = (cause) => cause,
): AsyncGenerator<Buffer> {
  const child = spawnJailed(jail)
  const ended = endOfChild(child, jail.argv[0])
  ended.catch(() => undefined)
  const source = Readable.from(stream, { objectMode: false })
  let broken: unknown
  source.once('error', (error) => {
    broken = error
    child.kill('SIGKILL')
  })
  source.pipe(child.stdin)
  try {
    for await (const chunk of child.stdout) yield chunk
    await ended
  } catch (cause) {
    if (broken !== undefined) throw broken
    jail.signal.throwIfAborted()
    throw failure(cause)
  } finally {
    source.destroy()
    child.kill('SIGKILL')
  }
}
