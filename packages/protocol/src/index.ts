export {
  DIAL_HOME_SOCKET_NAME,
  RUNNER_TUNNEL_PATH,
  SANDBOX_DIAL_HOME_DIR,
  SANDBOX_RUNTIME_DIR,
  SANDBOX_VARIABLE_PREFIX,
  TOOLBOX_TUNNEL_PATH,
} from './dial-home.ts'
export type { ErrorCode, ErrorContext, ErrorSource } from './errors.ts'
export { AppError, ErrorBody, errorBody, errorStatus } from './errors.ts'
export type { BodyKind, BodyOf, Operation, OutputOf, QueryOf } from './operation.ts'
export { defineOperation } from './operation.ts'
export {
  RunnerEvent,
  RunnerInfo,
  SandboxLimits,
  SandboxRunState,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
  StopSandbox,
} from './runner-operations.ts'
export {
  CreateSandbox,
  DEFAULT_AUTO_ARCHIVE_MINUTES,
  DEFAULT_AUTO_DELETE_MINUTES,
  DEFAULT_AUTO_STOP_MINUTES,
  DEFAULT_SANDBOX_USER,
  DEFAULT_SNAPSHOT,
  DEFAULT_TARGET,
  DESTROYED_READABLE_MS,
  MAX_AUTO_ARCHIVE_MINUTES,
  MAX_ENV_BYTES,
  MAX_ENV_VARIABLES,
  MAX_LABELS,
  MAX_LABELS_BYTES,
  Sandbox,
  SandboxClass,
  SandboxLabels,
  STARTED_WAIT_MS,
} from './sandbox-model.ts'
export type { DesiredSandboxState, SandboxLifecycle, StoredSandboxState } from './sandbox-state.ts'
export { desiredSandboxStates, SandboxState, sandboxStates, shownState, storedSandboxStates } from './sandbox-state.ts'
export type {
  Refusal,
  SandboxCommand,
  SandboxEvent,
  SandboxReport,
  SandboxStep,
  Transition,
} from './sandbox-state-table.ts'
export { sandboxStateTable, sandboxSteps, transition } from './sandbox-state-table.ts'
export type { ToolboxOperations } from './toolbox-operations.ts'
export { ExecuteRequest, ExecuteResponse, FileInfo, MAX_PATH_BYTES, toolboxOperations } from './toolbox-operations.ts'
