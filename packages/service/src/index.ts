export { bulkEnvironment, bulkNodeOptions } from './bulk-tuning.ts'
export type { FolderLock } from './folder-lock.ts'
export { FolderInUseError, lockFolder } from './folder-lock.ts'
export { ConfigError, loadConfig } from './load-config.ts'
export type { Logger } from './logger.ts'
export { createLogger } from './logger.ts'
export type { ProcessIdentity, ProcessSnapshot } from './process-identity.ts'
export {
  findProcess,
  identifyProcess,
  isAlive,
  readProcess,
  sendSignal,
  signalProcess,
  waitForEnd,
} from './process-identity.ts'
export type { RunningService, RunOptions, ShutdownPhase, SupervisorMessage } from './run-service.ts'
export { runService, shutDown, tellSupervisor } from './run-service.ts'
export { readTextIfPresent, writeWhole } from './whole-file.ts'
