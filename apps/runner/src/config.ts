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
  ATOLL_TOOLS_DIR: Type.Optional(Type.String({ minLength: 1, description: 'Folder of the tools that sandboxes have' })),
  ATOLL_OCI_RUNTIME: Type.Optional(
    Type.String({ pattern: '^(/.*|[^/]+)$', description: 'Name or absolute path; absent: the best that works' }),
  ),
  ATOLL_SANDBOX_NETWORK: Type.Union([Type.Literal('auto'), Type.Literal('none')], {
    default: 'auto',
    description: 'none: sandboxes have loopback only',
  }),
  ATOLL_SNAPSHOT_DIRECTORIES: Type.Optional(
    Type.String({ description: 'Folders of this host that snapshots may be made from, with : between; absent: none' }),
  ),
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
  /** Base URL of the API, without a slash at its end. */
  readonly controlUrl: string
  readonly dialHomeDir: string | undefined
  readonly toolboxDir: string
  readonly toolsDir: string
  readonly runtime: string | undefined
  readonly network: 'auto' | 'none'
  /** Absolute. */
  readonly snapshotDirectories: readonly string[]
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
  const { ATOLL_DATA_DIR, ATOLL_DIAL_HOME_DIR, ATOLL_TOOLBOX_DIR, ATOLL_TOOLS_DIR } = values
  const snapshotDirectories = (values.ATOLL_SNAPSHOT_DIRECTORIES ?? '').split(':').filter((path) => path !== '')
  const paths = [...snapshotDirectories, ATOLL_DATA_DIR, ATOLL_DIAL_HOME_DIR, ATOLL_TOOLBOX_DIR, ATOLL_TOOLS_DIR]
  const relative = paths.filter((path) => path && !isAbsolute(path))
  if (relative.length > 0) throw new ConfigError(relative.map((path) => `${path} must be an absolute path`))
  return {
    config: Object.freeze({
      dataDir: join(ATOLL_DATA_DIR, 'runner'),
      controlUrl: values.ATOLL_CONTROL_URL.replace(/\/+$/, ''),
      dialHomeDir: ATOLL_DIAL_HOME_DIR,
      toolboxDir: ATOLL_TOOLBOX_DIR ?? builtDir('toolbox'),
      toolsDir: ATOLL_TOOLS_DIR ?? builtDir('sandbox-tools'),
      runtime: values.ATOLL_OCI_RUNTIME,
      network: values.ATOLL_SANDBOX_NETWORK,
      snapshotDirectories: Object.freeze(snapshotDirectories),
      logLevel: values.ATOLL_LOG_LEVEL,
      ownHome: env['HOME'],
    }),
    secrets: Object.freeze({ runnerToken: values.ATOLL_RUNNER_TOKEN }),
  }
}

/** Returns the folder that this checkout builds `app` into; src/ and dist/ of all apps lie beside each other. */
function builtDir(app: string): string {
  return fileURLToPath(new URL(`../../${app}/dist`, import.meta.url))
}
