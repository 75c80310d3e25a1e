export type { Leftover } from './leftovers.ts'
export { findLeftovers } from './leftovers.ts'
export type { AtollProcesses, RunningAtoll, StartAtollOptions } from './start-atoll.ts'
export { startAtoll } from './start-atoll.ts'
