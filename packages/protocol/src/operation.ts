import type { Static, TSchema } from 'typebox'
import type { ErrorCode } from './errors.ts'

/** How a request body travels. `multipart` and `binary` bodies stream and are not described by a schema. */
export type BodyKind = 'none' | 'json' | 'multipart' | 'binary'

/** One request and its reply, declared once: the API's OpenAPI page and the toolbox's dispatcher read it. */
export interface Operation<
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
  Output extends TSchema = TSchema,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below the toolbox's root, such as `/files/info`. */
  readonly path: string
  readonly summary: string
  readonly query: Query
  readonly bodyKind: BodyKind
  readonly body: Body
  /** Success status. */
  readonly status: number
  /** `undefined` schema output (Type.Unsafe / Type.Undefined) means an empty body. */
  readonly output: Output
  readonly errors: readonly ErrorCode[]
}

export type QueryOf<O extends Operation> = Static<O['query']>
export type BodyOf<O extends Operation> = Static<O['body']>
export type OutputOf<O extends Operation> = Static<O['output']>

/** Checks the declaration's shape and keeps its exact types. */
export function defineOperation<Query extends TSchema, Body extends TSchema, Output extends TSchema>(
  operation: Operation<Query, Body, Output>,
): Operation<Query, Body, Output> {
  return Object.freeze(operation)
}
