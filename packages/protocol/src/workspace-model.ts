import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Interval, OsUser, Sandbox, SandboxClass, StringMap, Volumes } from './sandbox-model.ts'
import { BackupState } from './sandbox-settings-model.ts'
import { CreateBuildInfo } from './snapshot-model.ts'

/** A resource that can be asked for a workspace, with the same bounds in every unit as a sandbox's. */
const Chosen = Type.Integer({ minimum: 1, maximum: 65_536 })

/** The states of a workspace: two of a sandbox's states have older names, and a failed build is an `error`. */
const WorkspaceState = Type.Enum([
  ...['pending_build', 'building_image', 'pulling_image', 'creating', 'restoring', 'starting', 'started', 'stopping'],
  ...['stopped', 'resizing', 'archiving', 'archived', 'destroying', 'destroyed', 'error', 'snapshotting', 'unknown'],
] as const)

/** A sandbox as the workspace generation of clients sees it (§8 of the contract). */
export const Workspace = Type.Object(
  {
    ...Sandbox.properties,
    state: Type.Optional(WorkspaceState),
    snapshotState: Type.Optional(BackupState),
    snapshotCreatedAt: Type.Optional(Type.String({ format: 'date-time' })),
    image: Type.Optional(Type.String({ description: 'Name of the snapshot' })),
    info: Type.Optional(
      Type.Object({
        name: Type.String(),
        created: Type.String({ format: 'date-time' }),
        providerMetadata: Type.Optional(Type.String({ description: 'A JSON object, as text' })),
      }),
    ),
  },
  { $id: 'Workspace' },
)
export type Workspace = Static<typeof Workspace>

/** Body of `POST /workspace`. Fields it does not name are ignored. */
export const CreateWorkspace = Type.Object({
  image: Type.Optional(Type.String({ maxLength: 512, description: 'Name of a snapshot; empty is the default' })),
  user: Type.Optional(OsUser),
  env: Type.Optional(StringMap),
  labels: Type.Optional(StringMap),
  public: Type.Optional(Type.Boolean()),
  class: Type.Optional(SandboxClass),
  target: Type.Optional(Type.String({ maxLength: 64, description: 'Region' })),
  cpu: Type.Optional(Chosen),
  gpu: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_536 })),
  memory: Type.Optional(Chosen),
  disk: Type.Optional(Chosen),
  autoStopInterval: Type.Optional(Interval),
  autoArchiveInterval: Type.Optional(Interval),
  volumes: Type.Optional(Volumes),
  buildInfo: Type.Optional(CreateBuildInfo),
})
export type CreateWorkspace = Static<typeof CreateWorkspace>
