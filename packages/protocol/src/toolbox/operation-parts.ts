import { Type } from 'typebox'

/** Longest path accepted, in UTF-8 bytes; Linux's own PATH_MAX. */
export const MAX_PATH_BYTES = 4096

/** A query or a body without fields. */
export const Empty = Type.Object({})
/** An answer with an empty body. */
export const Nothing = Type.Undefined()
export const Path = Type.String({
  minLength: 1,
  description: 'Absolute, or relative to the work directory; a leading ~ is the home',
})
