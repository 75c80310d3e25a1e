import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'

/** Thrown for an invalid environment; `problems` holds one sentence for each wrong variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`bad configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/**
 * Reads the variables that `schema` names from `env`, converts numbers and booleans, applies defaults and
 * freezes the result. An empty string counts as absent. Throws ConfigError with every problem at once.
 */
export function loadConfig<Schema extends TSchema & { properties: Record<string, TSchema> }>(
  schema: Schema,
  env: Record<string, string | undefined>,
): Readonly<Static<Schema>> {
  const named: Record<string, unknown> = {}
  for (const name of Object.keys(schema.properties)) {
    const value = env[name]
    if (value !== undefined && value !== '') named[name] = value
  }
  const value = Value.Default(schema, Value.Convert(schema, named))
  const problems = [...Value.Errors(schema, value)].map((error) => describe(error, value))
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(value) as Readonly<Static<Schema>>
}

function describe(error: { instancePath: string; message: string; params?: unknown }, value: unknown): string {
  const name = error.instancePath.replace(/^\//, '')
  if (name === '') return error.message
  const given = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
  const shown = /KEY|TOKEN|SECRET|PASSWORD|URL/.test(name) ? 'the value given' : JSON.stringify(given)
  return `${name}: ${error.message}, got ${shown}`
}
