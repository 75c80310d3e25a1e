import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Largest number of cores or GiB that can be requested. */
const MAX_AMOUNT = 65_536

/** Longest accepted text of an allow list, in characters: ten blocks with room for blanks. */
const MAX_ALLOW_LIST_CHARACTERS = 1_024

/** Longest time to live, in minutes: a hundred years, because dates have an upper bound. */
export const MAX_TTL_MINUTES = 52_560_000

const Chosen = Type.Integer({ minimum: 1, maximum: MAX_AMOUNT })

/** The state of the copy of a sandbox's files in the object store. `None` also if it has run since the last copy. */
export const BackupState = Type.Enum(['None', 'Pending', 'InProgress', 'Completed', 'Error'])
export type BackupState = Static<typeof BackupState>

export const networkSettings = {
  networkBlockAll: Type.Optional(Type.Boolean({ description: 'Nothing at all leaves the sandbox' })),
  networkAllowList: Type.Optional(
    Type.String({
      maxLength: MAX_ALLOW_LIST_CHARACTERS,
      description: 'Blocks of IPv4 addresses by commas, at most 10: only these are reached. Empty: all',
    }),
  ),
  domainAllowList: Type.Optional(
    Type.String({
      maxLength: MAX_ALLOW_LIST_CHARACTERS,
      description: 'Must be empty: by the names of hosts nothing can be restricted',
    }),
  ),
}

/** Body of `POST /sandbox/{id}/network-settings`: at least one setting. */
export const UpdateNetworkSettings = Type.Object(networkSettings)
export type UpdateNetworkSettings = Static<typeof UpdateNetworkSettings>

/** Body of `POST /sandbox/{id}/resize`: absent resources stay as they are. */
export const UpdateResources = Type.Object({
  cpu: Type.Optional(Chosen),
  memory: Type.Optional(Chosen),
  disk: Type.Optional(Chosen),
})
export type UpdateResources = Static<typeof UpdateResources>

/** Body of `POST /workspace/{id}/resize`. */
export const UpdateWorkspaceResources = Type.Object({
  cpu: Type.Optional(Chosen),
  gpu: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_AMOUNT })),
  memory: Type.Optional(Chosen),
})
export type UpdateWorkspaceResources = Static<typeof UpdateWorkspaceResources>
