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

/** The settings of `atoll up` itself; the api and the runner read their own from the same environment. */
export interface UpConfig {
  /** An absolute path. */
  readonly dataDir: string
  readonly host: string
  /** The port; 0 takes any free one. */
  readonly port: number
  readonly logLevel: string
}

/** Reads the environment; the default data folder lies in `checkout`. Throws ConfigError. */
export function loadUpConfig(env: Record<string, string | undefined>, checkout: string): UpConfig {
  const values = loadConfig(Schema, env)
  return Object.freeze({
    dataDir: resolve(values.ATOLL_DATA_DIR ?? join(checkout, '.atoll')),
    host: values.ATOLL_HOST,
    port: values.ATOLL_PORT,
    logLevel: values.ATOLL_LOG_LEVEL,
  })
}
