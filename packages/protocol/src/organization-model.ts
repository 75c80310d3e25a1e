import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Organizations a user may have made at once, besides their personal one. */
export const MAX_OWN_ORGANIZATIONS = 10

/** The value for "without bound" where clients expect a number. */
export const UNBOUNDED = -1

/** The time from an organization's suspension until its running sandboxes are stopped, in hours. */
export const SUSPENSION_GRACE_HOURS = 24

const MAX_INTEGER = 2_147_483_647
const Time = Type.String({ format: 'date-time' })
const TimeOrNull = Type.Union([Time, Type.Null()])
const Bound = (description: string) => Type.Number({ description: `${description}; -1 is without bound` })

const None = Type.Null()

/** Fields of an organization that newer clients read and that Atoll does not support yet. */
const whatThereIsNotYet = {
  ...{ secretQuota: Type.Number(), maxSecretsPerSandbox: Type.Number() },
  snapshotDeactivationTimeoutMinutes: Type.Number({ description: '-1 is never' }),
  ...{ sandboxLimitedNetworkEgress: Type.Boolean(), previewWarningEnabled: Type.Boolean() },
  ...{ ssoEnabled: Type.Boolean(), scimEnabled: Type.Boolean() },
  ...{ authenticatedRateLimit: None, authenticatedRateLimitTtlSeconds: None },
  ...{ sandboxCreateRateLimit: None, sandboxCreateRateLimitTtlSeconds: None },
  ...{ sandboxLifecycleRateLimit: None, sandboxLifecycleRateLimitTtlSeconds: None },
  ...{ experimentalConfig: Type.Object({}), otelConfig: None },
}

/** An organization as clients see it (§4 of the contract). */
export const Organization = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name: Type.String(),
    createdBy: Type.String({ description: 'Id of a user' }),
    personal: Type.Boolean({ description: 'Made with its user, and neither left nor deleted before them' }),
    createdAt: Time,
    updatedAt: Time,
    suspended: Type.Boolean(),
    suspendedAt: TimeOrNull,
    suspensionReason: Type.Union([Type.String(), Type.Null()]),
    suspendedUntil: TimeOrNull,
    suspensionCleanupGracePeriodHours: Type.Number({ description: 'Until what runs is stopped' }),
    maxCpuPerSandbox: Bound('Cores'),
    maxMemoryPerSandbox: Bound('GiB'),
    maxDiskPerSandbox: Bound('GiB'),
    defaultRegionId: Type.Optional(Type.String({ description: 'Region of sandboxes that name none' })),
    ...whatThereIsNotYet,
  },
  { $id: 'Organization' },
)
export type Organization = Static<typeof Organization>

const RegionId = Type.String({ minLength: 1, maxLength: 64 })

/** Body of `POST /organizations`. */
export const CreateOrganization = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 255 }),
  defaultRegionId: Type.Optional(RegionId),
})
export type CreateOrganization = Static<typeof CreateOrganization>

/** Body of `PATCH /organizations/{id}/default-region`. */
export const UpdateDefaultRegion = Type.Object({ defaultRegionId: RegionId })
export type UpdateDefaultRegion = Static<typeof UpdateDefaultRegion>

/** Body of `POST /organizations/{id}/suspend`. */
export const SuspendOrganization = Type.Object({
  reason: Type.Optional(Type.String({ maxLength: 1_024 })),
  until: Type.Optional(TimeOrNull),
})
export type SuspendOrganization = Static<typeof SuspendOrganization>

const whole = { minimum: UNBOUNDED, maximum: MAX_INTEGER, description: 'Null keeps it; -1 is without bound' }
const Whole = Type.Optional(Type.Union([Type.Integer(whole), Type.Null()]))
const Size = Type.Optional(Type.Union([Type.Number(whole), Type.Null()]))

/** Body of `PATCH` and `PUT /organizations/{id}/quota`, in the names of both client generations; the newer name wins. */
export const UpdateQuota = Type.Object({
  ...{ totalCpuQuota: Whole, totalMemoryQuota: Whole, totalDiskQuota: Whole },
  ...{ maxCpuPerSandbox: Whole, maxMemoryPerSandbox: Whole, maxDiskPerSandbox: Whole },
  ...{ snapshotQuota: Whole, maxSnapshotSize: Size, volumeQuota: Whole },
  ...{ maxCpuPerWorkspace: Whole, maxMemoryPerWorkspace: Whole, maxDiskPerWorkspace: Whole },
  ...{ maxConcurrentWorkspaces: Whole, workspaceQuota: Whole },
  ...{ imageQuota: Whole, maxImageSize: Size, totalImageSize: Size },
})
export type UpdateQuota = Static<typeof UpdateQuota>

const Used = Type.Number()

const RegionUsage = Type.Object({
  regionId: Type.String(),
  sandboxClass: Type.Enum(['container']),
  ...{ totalCpuQuota: Bound('Cores'), currentCpuUsage: Used },
  ...{ totalMemoryQuota: Bound('GiB'), currentMemoryUsage: Used },
  ...{ totalDiskQuota: Bound('GiB'), currentDiskUsage: Used },
  ...{ totalGpuQuota: Used, currentGpuUsage: Used },
  ...{ maxCpuPerSandbox: Bound('Cores'), maxMemoryPerSandbox: Bound('GiB'), maxDiskPerSandbox: Bound('GiB') },
  ...{ maxDiskPerNonEphemeralSandbox: None, maxCpuPerGpu: None, maxMemoryPerGpu: None, maxDiskPerGpu: None },
})

/** The usage and quotas of an organization: the union of the fields that the generations of clients expect. */
export const UsageOverview = Type.Object(
  {
    ...{ totalCpuQuota: Bound('Cores'), totalGpuQuota: Used },
    ...{ totalMemoryQuota: Bound('GiB'), totalDiskQuota: Bound('GiB') },
    ...{ currentCpuUsage: Used, currentMemoryUsage: Used, currentDiskUsage: Used },
    ...{ totalWorkspaceQuota: Bound('Sandboxes'), concurrentWorkspaceQuota: Bound('Running sandboxes') },
    ...{ currentWorkspaces: Used, concurrentWorkspaces: Used },
    ...{ imageQuota: Bound('Snapshots'), currentImageNumber: Used },
    ...{ totalImageSizeQuota: Bound('GiB'), totalImageSizeUsed: Used },
    ...{ totalSnapshotQuota: Bound('Snapshots'), currentSnapshotUsage: Used },
    ...{ totalVolumeQuota: Bound('Volumes'), currentVolumeUsage: Used },
    regionUsage: Type.Array(RegionUsage, {
      description: 'What is used in each region; the bounds are of all together',
    }),
  },
  { $id: 'UsageOverview' },
)
export type UsageOverview = Static<typeof UsageOverview>
