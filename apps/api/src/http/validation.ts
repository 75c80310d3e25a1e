import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Compiles a route's schemas. Query, path and headers arrive as text and are converted (`1` and `true` to true); a body
 * must already have the right types. Defaults are filled in; fields that a schema does not name are kept.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = Compile(schema)
  return (given: unknown) => {
    const value = Value.Default(schema, httpPart === 'body' ? given : Value.Convert(schema, given))
    if (compiled.Check(value)) return { value }
    return { error: compiled.Errors(value) }
  }
}
