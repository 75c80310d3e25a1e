import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineOperation } from '../operation.ts'
import { Empty, Nothing } from './operation-parts.ts'

const Dir = Type.Object({ dir: Type.String({ description: 'Absolute' }) })

/** Changes of the environment: names to remove, then values to set. */
export const UpdateEnv = Type.Object({
  set: Type.Optional(Type.Record(Type.String(), Type.String())),
  unset: Type.Optional(Type.Array(Type.String())),
  unsetValuePrefix: Type.Optional(
    Type.String({ minLength: 1, description: 'Takes out what has a value that begins so and is not in `set`' }),
  ),
})
export type UpdateEnv = Static<typeof UpdateEnv>

export const SystemMetrics = Type.Object(
  {
    cpuCount: Type.Number({ description: 'Cores the sandbox may use' }),
    cpuUsedPct: Type.Number({ description: 'Of those cores, 0 to 100' }),
    memTotal: Type.Integer({ description: 'Bytes' }),
    memUsed: Type.Integer({ description: 'Bytes, without the cache of files' }),
    memCache: Type.Integer({ description: 'Bytes' }),
    diskTotal: Type.Integer({ description: 'Bytes' }),
    diskUsed: Type.Integer({ description: 'Bytes' }),
    diskFree: Type.Integer({ description: 'Bytes the user may still write' }),
    timestamp: Type.String({ format: 'date-time' }),
    timestampUnix: Type.Integer({ description: 'Seconds' }),
  },
  { $id: 'SystemMetrics' },
)
export type SystemMetrics = Static<typeof SystemMetrics>

/** The toolbox's folders, version, environment and resources. §14 and §20.3 of the contract. */
export const systemOperations = {
  getProjectDir: readDir('/project-dir', 'Home of the sandbox user, or DAYTONA_PROJECT_DIR'),
  getWorkDir: readDir('/work-dir', 'Where relative paths start and commands run'),
  getUserHomeDir: readDir('/user-home-dir', 'Home of the sandbox user'),
  getVersion: defineOperation({
    method: 'GET',
    path: '/version',
    summary: 'Version of the toolbox',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ version: Type.String() }),
    errors: [],
  }),
  updateEnv: defineOperation({
    method: 'POST',
    path: '/env',
    summary: 'Change the environment of what is started from now on, until the sandbox stops',
    query: Empty,
    bodyKind: 'json',
    body: UpdateEnv,
    status: 200,
    output: Nothing,
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE'],
  }),
  getSystemMetrics: defineOperation({
    method: 'GET',
    path: '/system/metrics',
    summary: 'Use of cpu, memory and disk now',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: SystemMetrics,
    errors: [],
  }),
} as const

function readDir<Path extends string>(path: Path, summary: string) {
  return defineOperation({
    method: 'GET',
    path,
    summary,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Dir,
    errors: [],
  })
}
