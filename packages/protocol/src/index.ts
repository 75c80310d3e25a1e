export { ApiKeyList, ApiKeyResponse, CreateApiKey, MAX_API_KEY_NAME_LENGTH } from './api-key-model.ts'
export {
  AuditLogLine,
  AuditLogPage,
  AuditScenarios,
  DEFAULT_AUDIT_PAGE_SIZE,
  ListAuditLogs,
  MAX_AUDIT_PAGE_SIZE,
} from './audit-model.ts'
export {
  DIAL_HOME_SOCKET_NAME,
  RUNNER_TUNNEL_PATH,
  SANDBOX_DIAL_HOME_DIR,
  SANDBOX_RUNTIME_DIR,
  SANDBOX_TOOLS_DIR,
  SANDBOX_VARIABLE_PREFIX,
  TOOLBOX_REFUSAL_HEADER,
  TOOLBOX_TUNNEL_PATH,
} from './dial-home.ts'
export {
  CreateDockerRegistry,
  DockerRegistry,
  DockerRegistryType,
  MAX_DOCKER_REGISTRIES,
  RegistryPushAccess,
  UpdateDockerRegistry,
} from './docker-registry-model.ts'
export type { ErrorCode, ErrorContext, ErrorSource } from './errors.ts'
export { AppError, ErrorBody, errorBody, errorStatus } from './errors.ts'
export { StorageAccess } from './object-storage-model.ts'
export type { BodyKind, BodyOf, Channel, Operation, OutputOf, ParamsOf, QueryOf } from './operation.ts'
export { defineChannel, defineOperation } from './operation.ts'
export {
  CreateInvitation,
  INVITATION_MS,
  OrganizationInvitation,
  OrganizationRole,
  OrganizationUser,
  UpdateAssignedRoles,
  UpdateInvitation,
  UpdateMemberAccess,
  UpdateMemberRole,
  WriteOrganizationRole,
} from './organization-member-model.ts'
export {
  CreateOrganization,
  MAX_OWN_ORGANIZATIONS,
  Organization,
  SUSPENSION_GRACE_HOURS,
  SuspendOrganization,
  UNBOUNDED,
  UpdateDefaultRegion,
  UpdateQuota,
  UsageOverview,
} from './organization-model.ts'
export { CreateRegion, CreateRegionResponse, Region, UpdateRegion } from './region-model.ts'
export { ARCHIVE_ID, ArchiveFormat, ArrivedArchive, StagedArchive, UnpackArchive } from './runner-archive-model.ts'
export type { RunnerState } from './runner-model.ts'
export { CreatedRunner, CreateRunner, Runner, RunnerFull, RunnerSnapshotRef, runnerStates } from './runner-model.ts'
export {
  Ability,
  LaunchSandbox,
  MAX_ALLOWED_BLOCKS,
  NetworkRules,
  ResizeSandbox,
  RunnerAbilities,
  RunnerEvent,
  RunnerInfo,
  SandboxLimits,
  SandboxRunState,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
  StopSandbox,
} from './runner-operations.ts'
export type { RunnerSnapshotKind, RunnerSnapshotState } from './runner-snapshot-model.ts'
export {
  DEFAULT_SNAPSHOT_GIB,
  ImageConfig,
  MAX_DOCKERFILE_CHARACTERS,
  MAX_REGISTRIES,
  MAX_SNAPSHOT_GIB,
  MAX_SNAPSHOT_LOG_BYTES,
  MakeSnapshot,
  RegistryAccess,
  RunnerSnapshot,
  runnerSnapshotKinds,
  runnerSnapshotStates,
  SnapshotRef,
  SnapshotSource,
} from './runner-snapshot-model.ts'
export {
  DEFAULT_VOLUME_GIB,
  MAX_SANDBOX_VOLUMES,
  MAX_VOLUME_GIB,
  MakeVolume,
  RunnerVolume,
  VolumeId,
  VolumeMount,
} from './runner-volume-model.ts'
export type { SandboxSortField } from './sandbox-list-model.ts'
export {
  DEFAULT_PAGE_SIZE,
  ListSandboxes,
  ListSandboxesByPage,
  MAX_PAGE_SIZE,
  NumberedSandboxPage,
  SandboxListItem,
  SandboxPage,
  sandboxSortFields,
} from './sandbox-list-model.ts'
export {
  CreateSandbox,
  DEFAULT_AUTO_ARCHIVE_MINUTES,
  DEFAULT_AUTO_DELETE_MINUTES,
  DEFAULT_AUTO_STOP_MINUTES,
  DEFAULT_SANDBOX_USER,
  DEFAULT_SNAPSHOT,
  DEFAULT_TARGET,
  DESTROYED_READABLE_MS,
  ForkSandbox,
  ListForks,
  MAX_AUTO_ARCHIVE_MINUTES,
  MAX_ENV_BYTES,
  MAX_ENV_VARIABLES,
  MAX_INTERVAL_MINUTES,
  MAX_LABELS,
  MAX_LABELS_BYTES,
  MAX_SANDBOX_NAME_LENGTH,
  PortPreviewUrl,
  Sandbox,
  SandboxClass,
  SandboxLabels,
  SignedPortPreviewUrl,
  STARTED_WAIT_MS,
  ToolboxProxyUrl,
  UpdateLastActivity,
} from './sandbox-model.ts'
export {
  BackupState,
  MAX_TTL_MINUTES,
  UpdateNetworkSettings,
  UpdateResources,
  UpdateWorkspaceResources,
} from './sandbox-settings-model.ts'
export type {
  DesiredSandboxState,
  RecoverableState,
  SandboxLifecycle,
  SandboxPhase,
  StoredSandboxState,
} from './sandbox-state.ts'
export {
  desiredSandboxStates,
  isStorableState,
  phaseOf,
  SandboxState,
  sandboxStates,
  shownState,
  storedSandboxStates,
} from './sandbox-state.ts'
export type {
  Refusal,
  SandboxCommand,
  SandboxEvent,
  SandboxReport,
  SandboxStep,
  Transition,
} from './sandbox-state-table.ts'
export { sandboxCommands, sandboxStateTable, sandboxSteps, transition } from './sandbox-state-table.ts'
export { ServerConfiguration } from './server-configuration.ts'
export {
  ChangePassword,
  JsonWebKeySet,
  MAX_PASSWORD_LENGTH,
  MIN_PASSWORD_LENGTH,
  RefreshToken,
  SetPassword,
  SignedIn,
  SignIn,
} from './sign-in-model.ts'
export type { ImageState, SnapshotSortField } from './snapshot-model.ts'
export {
  BuildImage,
  BuildInfo,
  BuildLogsQuery,
  CreateBuildInfo,
  CreateImage,
  CreateSnapshot,
  DEFAULT_SNAPSHOT_CPU,
  DEFAULT_SNAPSHOT_DISK_GIB,
  DEFAULT_SNAPSHOT_GPU,
  DEFAULT_SNAPSHOT_MEMORY_GIB,
  Entrypoint,
  Image,
  ImagePage,
  ListSnapshots,
  LogsUrl,
  MAX_SNAPSHOT_NAME_LENGTH,
  MAX_SNAPSHOT_PAGE_SIZE,
  SetSnapshotGeneral,
  SNAPSHOT_BUILD_LIMIT_MS,
  SNAPSHOT_PULL_LIMIT_MS,
  SNAPSHOT_UNUSED_MS,
  SNAPSHOT_VALIDATION_LIMIT_MS,
  Snapshot,
  SnapshotFromDirectory,
  SnapshotPage,
  SnapshotSandbox,
  snapshotSortFields,
  ToggleSnapshot,
  UploadSnapshot,
} from './snapshot-model.ts'
export type { StoredSnapshotState } from './snapshot-state.ts'
export { SnapshotState, snapshotStates, storedSnapshotStates } from './snapshot-state.ts'
export type {
  SnapshotCommand,
  SnapshotEvent,
  SnapshotReport,
  SnapshotStep,
  SnapshotTransition,
} from './snapshot-state-table.ts'
export { snapshotStateTable, snapshotSteps, snapshotTransition } from './snapshot-state-table.ts'
export type { CodeLanguage } from './toolbox/code-operations.ts'
export {
  CODE_LANGUAGES,
  CodeRunRequest,
  CodeRunResponse,
  codeChannels,
  codeOperations,
  InterpreterContext,
  InterpreterExecuteRequest,
} from './toolbox/code-operations.ts'
export { computerOperations } from './toolbox/computer-operations.ts'
export {
  FileInfo,
  fileOperations,
  MAX_LIST_DEPTH,
  ReplaceRequest,
  ReplaceResult,
  TextMatch,
} from './toolbox/file-operations.ts'
export type { FileState } from './toolbox/git-operations.ts'
export { FileStatus, GitCommitInfo, GitStatus, gitOperations, MAX_HISTORY_COMMITS } from './toolbox/git-operations.ts'
export { LspCompletionList, LspSymbol, lspChannels, lspOperations } from './toolbox/lsp-operations.ts'
export { MAX_PATH_BYTES } from './toolbox/operation-parts.ts'
export { FIRST_APP_PORT, LAST_APP_PORT, PortList, PortListener, portOperations } from './toolbox/port-operations.ts'
export { ExecuteRequest, ExecuteResponse, ProcessInfo, processOperations } from './toolbox/process-operations.ts'
export {
  DEFAULT_COLS,
  DEFAULT_ROWS,
  MAX_PTY_ID_LENGTH,
  MAX_TERMINAL_SIDE,
  PTY_ENVS_PREFIX,
  PTY_EXIT_CONTROL,
  PTY_SIZE_CONTROL,
  PtyCreateRequest,
  PtySessionInfo,
  ptyChannels,
  ptyOperations,
} from './toolbox/pty-operations.ts'
export {
  MAX_SESSION_ID_LENGTH,
  Session,
  SessionCommand,
  SessionExecuteRequest,
  sessionChannels,
  sessionOperations,
} from './toolbox/session-operations.ts'
export { SystemMetrics, systemOperations, UpdateEnv } from './toolbox/system-operations.ts'
export {
  FileChange,
  MAX_IGNORE_LENGTH,
  MAX_IGNORE_PATTERNS,
  WatchMessage,
  watchChannels,
  watchOperations,
} from './toolbox/watch-operations.ts'
export { CLAIM_METHOD, ToolboxClaim, UNCLAIMABLE_VARIABLES } from './toolbox-claim.ts'
export type { ToolboxChannels, ToolboxOperations } from './toolbox-operations.ts'
export { toolboxChannels, toolboxOperations } from './toolbox-operations.ts'
export {
  AccountProvider,
  CreateUser,
  LinkAccount,
  MAX_EMAIL_LENGTH,
  MAX_USER_ID_LENGTH,
  MAX_USER_NAME_LENGTH,
  User,
  UserEntity,
} from './user-model.ts'
export {
  CreateVolume,
  ListVolumes,
  MAX_MOUNT_PATH_LENGTH,
  MAX_VOLUME_NAME_LENGTH,
  SandboxVolume,
  Volume,
} from './volume-model.ts'
export { VolumeState, volumeStates } from './volume-state.ts'
export type { VolumeEvent, VolumeReport, VolumeStep, VolumeTransition } from './volume-state-table.ts'
export { volumeStateTable, volumeSteps, volumeTransition } from './volume-state-table.ts'
export { CreateWarmPool, MAX_WARM_POOL_SIZE, MAX_WARM_POOLS, UpdateWarmPool, WarmPool } from './warm-pool-model.ts'
export { CreateWorkspace, Workspace } from './workspace-model.ts'
