export {
  DIAL_HOME_SOCKET_NAME,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  RUNNER_TUNNEL_PATH,
  SANDBOX_DIAL_HOME_DIR,
  SANDBOX_RUNTIME_DIR,
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
export type { ToolboxOperations } from './toolbox-operations.ts'
export { ExecuteRequest, ExecuteResponse, FileInfo, MAX_PATH_BYTES, toolboxOperations } from './toolbox-operations.ts'
