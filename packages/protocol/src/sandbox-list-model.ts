import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Sandbox } from './sandbox-model.ts'

/** Most sandboxes on a page, and the number when the caller gives none. */
export const MAX_PAGE_SIZE = 100
export const DEFAULT_PAGE_SIZE = 100

/** Highest page number that can be requested. */
const MAX_PAGE = 1_000_000
const MAX_LISTED_VALUES = 100
const MAX_VALUE_LENGTH = 512

export const sandboxSortFields = ['name', 'cpu', 'memoryGib', 'diskGib', 'lastActivityAt', 'createdAt'] as const
export type SandboxSortField = (typeof sandboxSortFields)[number]

const Text = Type.String({ maxLength: MAX_VALUE_LENGTH })
const Texts = Type.Optional(Type.Array(Text, { maxItems: MAX_LISTED_VALUES }))
const Amount = Type.Optional(Type.Number())
const Time = Type.Optional(Type.String({ maxLength: 64, format: 'date-time' }))

const filters = {
  id: Type.Optional(Type.String({ maxLength: 36, description: 'Beginning of the id' })),
  name: Type.Optional(Type.String({ maxLength: MAX_VALUE_LENGTH, description: 'Beginning of the name' })),
  labels: Type.Optional(Type.String({ description: 'JSON object; sandboxes with all of these labels' })),
  includeErroredDeleted: Type.Optional(Type.Boolean({ description: 'Also what failed and is marked for deletion' })),
  states: Texts,
  snapshots: Texts,
  ...{ minCpu: Amount, maxCpu: Amount, minMemoryGiB: Amount, maxMemoryGiB: Amount },
  ...{ minDiskGiB: Amount, maxDiskGiB: Amount, minGpu: Amount, maxGpu: Amount },
  isPublic: Type.Optional(Type.Boolean()),
  isRecoverable: Type.Optional(Type.Boolean()),
  ...{ createdAtAfter: Time, createdAtBefore: Time, lastEventAfter: Time, lastEventBefore: Time },
  ...{ autoDestroyAtAfter: Time, autoDestroyAtBefore: Time },
  sort: Type.Optional(Type.Enum([...sandboxSortFields])),
  order: Type.Optional(Type.Enum(['asc', 'desc'])),
}

const limit = Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE, default: DEFAULT_PAGE_SIZE }))

/** Query of `GET /sandbox` from SDK 0.180 on (§20.1). Older SDKs send only `verbose` and `labels`. */
export const ListSandboxes = Type.Object({
  ...filters,
  verbose: Type.Optional(Type.Boolean({ description: 'Has no effect' })),
  limit,
  cursor: Type.Optional(Type.String({ maxLength: 2_048, description: 'The `nextCursor` of the page before' })),
  regionIds: Texts,
  sandboxClasses: Texts,
})
export type ListSandboxes = Static<typeof ListSandboxes>

/** Query of `GET /sandbox/paginated`, of SDK 0.108 to 0.179. */
export const ListSandboxesByPage = Type.Object({
  ...filters,
  limit,
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, default: 1 })),
  regions: Texts,
})
export type ListSandboxesByPage = Static<typeof ListSandboxesByPage>

const { env: _, backupCreatedAt: __, volumes: ___, buildInfo: ____, ...listed } = Sandbox.properties

/** A sandbox without its environment and the time of its backup. */
export const SandboxListItem = Type.Object(listed, { $id: 'SandboxListItem' })
export type SandboxListItem = Static<typeof SandboxListItem>

export const SandboxPage = Type.Object(
  {
    items: Type.Array(SandboxListItem),
    nextCursor: Type.Union([Type.String(), Type.Null()], { description: 'Null on the last page' }),
  },
  { $id: 'SandboxPage' },
)
export type SandboxPage = Static<typeof SandboxPage>

export const NumberedSandboxPage = Type.Object(
  {
    items: Type.Array(Sandbox),
    total: Type.Integer(),
    page: Type.Integer(),
    totalPages: Type.Integer(),
  },
  { $id: 'NumberedSandboxPage' },
)
export type NumberedSandboxPage = Static<typeof NumberedSandboxPage>
