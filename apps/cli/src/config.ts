import { join, resolve } from 'node:path'
import { loadConfig } from '@atoll/service'
import { Type } from 'typebox'

const Schema = Type.Object({
  ATOLL_DATA_DIR: Type.Optional(Type.String()),
  ATOLL_HOST: Type.String({ default: '127.0.0.1' }),
  ATOLL_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 3000 }),
  ATOLL_LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info' },
  ),
})

/** What `atoll up` itself reads; the api and the runner read their own settings from the same environment. */
export interface UpConfig {
  /** Absolute. */
  readonly dataDir: string
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  readonly logLevel: string
}

/** Reads the environment; `checkout` is where the default data folder stands. Throws ConfigError. */
export function loadUpConfig(env: Record<string, string | undefined>, checkout: string): UpConfig {
  const values = loadConfig(Schema, env)
  return Object.freeze({
    dataDir: resolve(values.ATOLL_DATA_DIR ?? join(checkout, '.atoll')),
    host: values.ATOLL_HOST,
    port: values.ATOLL_PORT,
    logLevel: values.ATOLL_LOG_LEVEL,
  })
}
