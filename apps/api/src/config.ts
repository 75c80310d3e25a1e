import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError, loadConfig } from '@atoll/service'
import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Every variable the API reads that may be shown. */
export const ConfigSchema = Type.Object({
  ATOLL_DATA_DIR: Type.String({ minLength: 1, description: 'Absolute path of the folder that holds all state' }),
  ATOLL_HOST: Type.String({ default: '127.0.0.1', description: 'Address the public port listens on' }),
  ATOLL_PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535, description: '0 takes any free port' }),
  ATOLL_DIAL_HOME_DIR: Type.Optional(
    Type.String({ minLength: 1, description: "Folder of the socket that this host's sandboxes dial" }),
  ),
  ATOLL_PUBLIC_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'How clients reach the public port, when not directly' }),
  ),
  ATOLL_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], { default: 'info' }),
})

/** Variables whose value is never shown. */
export const SecretsSchema = Type.Object({
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'Absent: an embedded PostgreSQL in the data folder' }),
  ),
  ATOLL_RUNNER_TOKEN: Type.Optional(
    Type.String({ minLength: 16, maxLength: 256, description: "Token of this host's runner" }),
  ),
})

export interface Config {
  readonly dataDir: string
  readonly host: string
  readonly port: number
  readonly dialHomeDir: string | undefined
  readonly publicUrl: string | undefined
  readonly logLevel: Static<typeof ConfigSchema>['ATOLL_LOG_LEVEL']
}

export interface Secrets {
  readonly databaseUrl: string | undefined
  readonly runnerToken: string | undefined
}

/** Reads and checks the environment. Throws ConfigError with every problem at once. */
export function readConfig(env: Record<string, string | undefined> = process.env): {
  config: Config
  secrets: Secrets
} {
  const values = loadConfig(Type.Object({ ...ConfigSchema.properties, ...SecretsSchema.properties }), env)
  const relative = [values.ATOLL_DATA_DIR, values.ATOLL_DIAL_HOME_DIR].filter((path) => path && !isAbsolute(path))
  if (relative.length > 0) throw new ConfigError(relative.map((path) => `${path} must be an absolute path`))
  return {
    config: Object.freeze({
      dataDir: values.ATOLL_DATA_DIR,
      host: values.ATOLL_HOST,
      port: values.ATOLL_PORT,
      dialHomeDir: values.ATOLL_DIAL_HOME_DIR,
      publicUrl: values.ATOLL_PUBLIC_URL?.replace(/\/+$/, ''),
      logLevel: values.ATOLL_LOG_LEVEL,
    }),
    secrets: Object.freeze({
      databaseUrl: values.DATABASE_URL,
      runnerToken: values.ATOLL_RUNNER_TOKEN,
    }),
  }
}

/** Folder of the embedded PostgreSQL. */
export function postgresDir(config: Config): string {
  return join(config.dataDir, 'postgres')
}

/** The migrations; src/ and dist/ lie beside them. */
export const migrationsDir = fileURLToPath(new URL('../migrations', import.meta.url))
