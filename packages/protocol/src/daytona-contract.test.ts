import type * as april2025 from 'daytona-api-client-0-18'
import type * as august2025 from 'daytona-api-client-0-23'
import type * as newest from 'daytona-api-client-0-218'
import { expectTypeOf, test } from 'vitest'
import type {
  AccountProvider,
  ApiKeyList,
  ApiKeyResponse,
  AuditLogPage,
  BuildInfo,
  CreateSnapshot,
  CreateUser,
  CreateVolume,
  DockerRegistry,
  Image,
  NumberedSandboxPage,
  Organization,
  OrganizationInvitation,
  OrganizationRole,
  OrganizationUser,
  PortPreviewUrl,
  RegistryPushAccess,
  Sandbox,
  SandboxLabels,
  SandboxListItem,
  SandboxPage,
  Snapshot,
  SnapshotPage,
  StorageAccess,
  ToolboxProxyUrl,
  UpdateQuota,
  UsageOverview,
  User,
  UserEntity,
  Volume,
  Workspace,
} from './index.ts'

/** A client's type as it is on the wire: times are text. */
type Wire<T> = T extends Date ? string : T extends object ? { [Key in keyof T]: Wire<T[Key]> } : T

/** Fields that are null while there is no suspension, although the clients' types do not say so. */
type Suspension = 'suspendedAt' | 'suspensionReason' | 'suspendedUntil'
/** A role with its permissions as plain text: the list of permissions grows. */
type RoleOf<T> = Omit<Wire<T>, 'permissions'> & { permissions: string[] }
type WithRolesOf<T, Role> = Omit<Wire<T>, 'assignedRoles'> & { assignedRoles: RoleOf<Role>[] }

/** States that older clients' types lack. Those clients still accept them, as some other state. */
type NewStates = 'resizing' | 'snapshotting'
/** A sandbox without those states, and without its build, whose times the clients type as Date but leave as text. */
type WithoutNewStates<Shown extends Pick<Sandbox, 'desiredState'> & { state?: string }> = Omit<
  Shown,
  'state' | 'buildInfo'
> & {
  state?: Exclude<NonNullable<Shown['state']>, NewStates>
}
type WithoutBuild<Shown> = Omit<Shown, 'buildInfo'>

/**
 * The compiler compares our answers with the types of the clients of each generation: a field that is missing, of
 * another type or of another spelling does not compile. The API serialises by the same schemas, so that no answer
 * differs from its type.
 */
test('sandboxes are what the clients of their generations expect', () => {
  expectTypeOf<WithoutNewStates<Sandbox>>().toExtend<WithoutBuild<august2025.Sandbox>>()
  expectTypeOf<WithoutBuild<Sandbox>>().toExtend<WithoutBuild<newest.Sandbox>>()
  expectTypeOf<SandboxListItem>().toExtend<newest.SandboxListItem>()
  expectTypeOf<SandboxPage>().toExtend<newest.ListSandboxesResponse>()
  expectTypeOf<WithoutBuild<NumberedSandboxPage['items'][number]>>().toExtend<WithoutBuild<newest.Sandbox>>()
  expectTypeOf<WithoutNewStates<Workspace>>().toExtend<WithoutBuild<april2025.Workspace>>()
  // This type has the sandbox names of two states; clients that still ask for workspaces know the older names (§8).
  expectTypeOf<Omit<WithoutNewStates<Workspace>, 'state'>>().toExtend<
    Omit<WithoutBuild<august2025.Workspace>, 'state'>
  >()
  expectTypeOf<SandboxLabels>().toExtend<august2025.SandboxLabels>()
  expectTypeOf<SandboxLabels>().toExtend<newest.SandboxLabels>()
  expectTypeOf<PortPreviewUrl>().toExtend<april2025.PortPreviewUrl>()
  expectTypeOf<PortPreviewUrl>().toExtend<august2025.PortPreviewUrl>()
  expectTypeOf<PortPreviewUrl>().toExtend<newest.PortPreviewUrl>()
  expectTypeOf<ToolboxProxyUrl>().toExtend<newest.ToolboxProxyUrl>()
})

test('organizations are what the clients of their generations expect', () => {
  expectTypeOf<Organization>().toExtend<Omit<Wire<april2025.Organization>, Suspension>>()
  expectTypeOf<Organization>().toExtend<Omit<Wire<august2025.Organization>, Suspension>>()
  expectTypeOf<Organization>().toExtend<Omit<Wire<newest.Organization>, Suspension>>()
  expectTypeOf<UsageOverview>().toExtend<april2025.UsageOverview>()
  expectTypeOf<UsageOverview>().toExtend<august2025.UsageOverview>()
  expectTypeOf<UsageOverview>().toExtend<newest.OrganizationUsageOverview>()
  expectTypeOf<august2025.UpdateOrganizationQuota>().toExtend<UpdateQuota>()
  expectTypeOf<april2025.UpdateOrganizationQuota>().toExtend<UpdateQuota>()
})

test('members, roles and invitations are what the clients of their generations expect', () => {
  expectTypeOf<OrganizationRole>().toExtend<RoleOf<april2025.OrganizationRole>>()
  expectTypeOf<OrganizationRole>().toExtend<RoleOf<newest.OrganizationRole>>()
  expectTypeOf<OrganizationUser>().toExtend<WithRolesOf<april2025.OrganizationUser, april2025.OrganizationRole>>()
  expectTypeOf<OrganizationUser>().toExtend<WithRolesOf<newest.OrganizationUser, newest.OrganizationRole>>()
  expectTypeOf<OrganizationInvitation>().toExtend<
    WithRolesOf<august2025.OrganizationInvitation, august2025.OrganizationRole>
  >()
  expectTypeOf<OrganizationInvitation>().toExtend<WithRolesOf<newest.OrganizationInvitation, newest.OrganizationRole>>()
})

test('the audit log is what the newest client expects', () => {
  expectTypeOf<AuditLogPage>().toExtend<Wire<newest.PaginatedAuditLogs>>()
})

/** Times, which the clients type as Date but leave as text, and states, of which each generation knows its own. */
type SnapshotTimes = 'createdAt' | 'updatedAt' | 'lastUsedAt' | 'buildInfo' | 'state'

test('snapshots, images and volumes are what the clients of their generations expect', () => {
  expectTypeOf<Omit<Snapshot, SnapshotTimes>>().toExtend<Omit<august2025.SnapshotDto, SnapshotTimes>>()
  expectTypeOf<Omit<Snapshot, SnapshotTimes>>().toExtend<Omit<newest.SnapshotDto, SnapshotTimes>>()
  expectTypeOf<Exclude<Snapshot['state'], 'snapshotting'>>().toExtend<august2025.SnapshotDto['state']>()
  expectTypeOf<keyof newest.BuildInfo>().toExtend<keyof BuildInfo>()
  expectTypeOf<keyof newest.PaginatedSnapshots>().toExtend<keyof SnapshotPage>()
  expectTypeOf<Omit<Image, SnapshotTimes>>().toExtend<Omit<april2025.ImageDto, SnapshotTimes>>()
  expectTypeOf<Image['state']>().toExtend<april2025.ImageDto['state']>()
  expectTypeOf<Omit<Volume, 'lastUsedAt'>>().toExtend<Omit<april2025.VolumeDto, 'lastUsedAt'>>()
  expectTypeOf<Volume>().toExtend<august2025.VolumeDto>()
  expectTypeOf<Volume>().toExtend<newest.VolumeDto>()
  expectTypeOf<august2025.CreateSnapshot>().toExtend<CreateSnapshot>()
  expectTypeOf<Omit<newest.CreateSnapshot, 'gpuType' | 'sandboxClass'>>().toExtend<CreateSnapshot>()
  expectTypeOf<newest.CreateVolume>().toExtend<CreateVolume>()
})

/** Times, which the clients type as Date but leave as text, and permissions, of which each generation knows its own. */
type Untyped = 'createdAt' | 'lastUsedAt' | 'expiresAt' | 'permissions'

test('keys and users are what the clients of their generations expect', () => {
  expectTypeOf<Omit<ApiKeyList, Untyped>>().toExtend<Omit<april2025.ApiKeyList, Untyped>>()
  expectTypeOf<Omit<ApiKeyList, Untyped>>().toExtend<Omit<newest.ApiKeyList, Untyped>>()
  expectTypeOf<keyof newest.ApiKeyList>().toExtend<keyof ApiKeyList>()
  expectTypeOf<Omit<ApiKeyResponse, Untyped>>().toExtend<Omit<newest.ApiKeyResponse, Untyped>>()
  expectTypeOf<keyof newest.ApiKeyResponse>().toExtend<keyof ApiKeyResponse>()
  expectTypeOf<User>().toExtend<april2025.User>()
  expectTypeOf<Omit<User, Untyped>>().toExtend<Omit<newest.User, Untyped>>()
  expectTypeOf<UserEntity>().toExtend<august2025.User>()
  expectTypeOf<april2025.CreateUser>().toExtend<CreateUser>()
  expectTypeOf<august2025.CreateUser>().toExtend<CreateUser>()
  expectTypeOf<AccountProvider>().toExtend<august2025.AccountProvider>()
  expectTypeOf<AccountProvider>().toExtend<newest.AccountProvider>()
})

test('registries and storage access are what the clients of their generations expect', () => {
  // The clients type times as Date but leave them as text.
  type Times = 'createdAt' | 'updatedAt'
  expectTypeOf<Omit<DockerRegistry, Times>>().toExtend<Omit<april2025.DockerRegistry, Times>>()
  expectTypeOf<Omit<DockerRegistry, Times>>().toExtend<Omit<august2025.DockerRegistry, Times>>()
  // The newest client no longer has the registry type `public`.
  expectTypeOf<Omit<DockerRegistry, Times | 'registryType'>>().toExtend<
    Omit<newest.DockerRegistry, Times | 'registryType'>
  >()
  expectTypeOf<RegistryPushAccess>().toExtend<august2025.RegistryPushAccessDto>()
  expectTypeOf<RegistryPushAccess>().toExtend<newest.RegistryPushAccessDto>()
  expectTypeOf<StorageAccess>().toExtend<august2025.StorageAccessDto>()
  expectTypeOf<StorageAccess>().toExtend<newest.StorageAccessDto>()
})
