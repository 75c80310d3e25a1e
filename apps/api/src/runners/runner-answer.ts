import { Type } from 'typebox'
import { Value } from 'typebox/value'

const MAX_MESSAGE_CHARS = 500

const Failure = Type.Object({ message: Type.String(), code: Type.Optional(Type.String()) })

/** A runner replied with an error, or with something unexpected (status 0). */
export class RunnerCallError extends Error {
  override readonly name = 'RunnerCallError'
  readonly status: number
  /** A code of packages/protocol/src/errors.ts, if the runner named one. */
  readonly code: string | undefined

  constructor(status: number, message: string, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Returns the JSON of a reply with a 2xx status, undefined if it is none. Throws RunnerCallError for any other status. */
export function readAnswer(status: number, text: string): unknown {
  const parsed = parseJson(text)
  if (status >= 200 && status < 300) return parsed
  if (!Value.Check(Failure, parsed)) throw new RunnerCallError(status, `status ${status}`)
  throw new RunnerCallError(status, parsed.message.slice(0, MAX_MESSAGE_CHARS), parsed.code)
}

export function parseJson(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    // A caller that needs a value checks for it.
    return undefined
  }
}
