import type { Logger } from 'pino'
import { pino } from 'pino'

export type { Logger } from 'pino'

/** Fields whose value never reaches a log, wherever a handler puts them. */
const SECRET_FIELDS = [
  'authorization',
  'cookie',
  'token',
  'toolboxToken',
  'password',
  'secret',
  'apiKey',
  'value',
  'env',
]

/** Makes a logger of JSON lines on stdout, with the service's name. Replaces known secret fields at the first three depths. */
export function createLogger(name: string, level: string): Logger {
  return pino({
    name,
    level,
    redact: {
      paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
      censor: '[redacted]',
    },
  })
}
