import type { Static, TObject, TSchema } from 'typebox'
import type { ErrorCode } from './errors.ts'

/** The schema of a path without parameters. */
type NoParams = TObject<Record<never, never>>

/** How a request body travels. `multipart` and `binary` bodies stream and are not described by a schema. */
export type BodyKind = 'none' | 'json' | 'multipart' | 'binary'

/** One request and its reply, declared once: the API's OpenAPI page and the toolbox's dispatcher read it. */
export interface Operation<
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
  Output extends TSchema = TSchema,
  Params extends TSchema = TSchema,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** The path below the toolbox's root, such as `/files/info`; a segment in braces is a parameter, such as `{sessionId}`. */
  readonly path: string
  /** Other paths of this operation, with the same parameters. */
  readonly aliases?: readonly string[]
  readonly summary: string
  /** The parameters of the path, all strings; absent where it has none. */
  readonly params?: Params
  readonly query: Query
  readonly bodyKind: BodyKind
  readonly body: Body
  /** Success status. */
  readonly status: number
  /** `undefined` schema output (Type.Unsafe / Type.Undefined) means an empty body. */
  readonly output: Output
  readonly errors: readonly ErrorCode[]
}

export type ParamsOf<O extends { params?: TSchema }> = O extends { params?: infer Params extends TSchema }
  ? Static<Params>
  : object
export type QueryOf<O extends { query: TSchema }> = Static<O['query']>
export type BodyOf<O extends Operation> = Static<O['body']>
export type OutputOf<O extends Operation> = Static<O['output']>

/** Checks the declaration's shape and keeps its exact types. */
export function defineOperation<
  Query extends TSchema,
  Body extends TSchema,
  Output extends TSchema,
  Params extends TSchema = NoParams,
>(operation: Operation<Query, Body, Output, Params>): Operation<Query, Body, Output, Params> {
  return Object.freeze(operation)
}

/** A WebSocket of the toolbox, declared once. */
export interface Channel<Query extends TSchema = TSchema, Params extends TSchema = TSchema> {
  /** The path, in the form of an operation's. */
  readonly path: string
  readonly summary: string
  /** The messages in both directions, and the close codes. */
  readonly description: string
  readonly params?: Params
  readonly query: Query
  /** The errors that may be returned instead of the upgrade. */
  readonly errors: readonly ErrorCode[]
}

/** Checks the declaration's shape and keeps its exact types. */
export function defineChannel<Query extends TSchema, Params extends TSchema = NoParams>(
  channel: Channel<Query, Params>,
): Channel<Query, Params> {
  return Object.freeze(channel)
}
