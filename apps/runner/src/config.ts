import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError, loadConfig } from '@atoll/service'
import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Every variable the runner reads that may be shown. */
export const ConfigSchema = Type.Object({
  ATOLL_DATA_DIR: Type.String({
    minLength: 1,
    description: 'Absolute path; the runner keeps its state in runner/ below',
  }),
  ATOLL_CONTROL_URL: Type.String({ pattern: '^https?://', description: 'Base URL of the API' }),
  ATOLL_DIAL_HOME_DIR: Type.Optional(
    Type.String({ minLength: 1, description: "Folder of the API's own socket, where the API is on this host" }),
  ),
  ATOLL_TOOLBOX_DIR: Type.Optional(Type.String({ minLength: 1, description: "Folder of the toolbox's bundle" })),
  ATOLL_OCI_RUNTIME: Type.Optional(
    Type.String({ pattern: '^(/.*|[^/]+)$', description: 'Name or absolute path; absent: the best that works' }),
  ),
  ATOLL_SANDBOX_NETWORK: Type.Union([Type.Literal('auto'), Type.Literal('none')], {
    default: 'auto',
    description: 'none: sandboxes have loopback only',
  }),
  ATOLL_LOG_LEVEL: Type.Union(
    [
      Type.Literal('trace'),
      Type.Literal('debug'),
      Type.Literal('info'),
      Type.Literal('warn'),
      Type.Literal('error'),
      Type.Literal('silent'),
    ],
    { default: 'info' },
  ),
})

/** Variables whose value is never shown. */
export const SecretsSchema = Type.Object({
  ATOLL_RUNNER_TOKEN: Type.String({ minLength: 16, maxLength: 256, description: "This runner's token at the API" }),
})

export interface Config {
  /** The runner's own part of the data folder. */
  readonly dataDir: string
  /** Without a slash at its end. */
  readonly controlUrl: string
  readonly dialHomeDir: string | undefined
  readonly toolboxDir: string
  readonly runtime: string | undefined
  readonly network: 'auto' | 'none'
  readonly logLevel: Static<typeof ConfigSchema>['ATOLL_LOG_LEVEL']
  /** Home of the account the runner runs as, which no sandbox may see. */
  readonly ownHome: string | undefined
}

export interface Secrets {
  readonly runnerToken: string
}

/** Reads and checks the environment. Throws ConfigError with every problem at once. */
export function readConfig(env: Record<string, string | undefined> = process.env): {
  config: Config
  secrets: Secrets
} {
  const values = loadConfig(Type.Object({ ...ConfigSchema.properties, ...SecretsSchema.properties }), env)
  const paths = [values.ATOLL_DATA_DIR, values.ATOLL_DIAL_HOME_DIR, values.ATOLL_TOOLBOX_DIR]
  const relative = paths.filter((path) => path && !isAbsolute(path))
  if (relative.length > 0) throw new ConfigError(relative.map((path) => `${path} must be an absolute path`))
  return {
    config: Object.freeze({
      dataDir: join(values.ATOLL_DATA_DIR, 'runner'),
      controlUrl: values.ATOLL_CONTROL_URL.replace(/\/+$/, ''),
      dialHomeDir: values.ATOLL_DIAL_HOME_DIR,
      toolboxDir: values.ATOLL_TOOLBOX_DIR ?? builtToolboxDir,
      runtime: values.ATOLL_OCI_RUNTIME,
      network: values.ATOLL_SANDBOX_NETWORK,
      logLevel: values.ATOLL_LOG_LEVEL,
      ownHome: env['HOME'],
    }),
    secrets: Object.freeze({ runnerToken: values.ATOLL_RUNNER_TOKEN }),
  }
}

/** The toolbox as this checkout builds it; src/ and dist/ of both apps lie beside each other. */
const builtToolboxDir = fileURLToPath(new URL('../../toolbox/dist', import.meta.url))
