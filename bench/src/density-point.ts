import type { CallTimes } from './density-calls.ts'
import type { Part, SystemUse } from './density-use.ts'

/** The targets with 500 sandboxes: all memory of each, and the p50 of a call relative to the one with a single sandbox. */
export const MAX_SANDBOX_MB = 20
export const MAX_CALL_RATIO = 1.2

/** The measurements with one number of sandboxes. Times in milliseconds, memory in MB. */
export interface DensityPoint extends CallTimes {
  sandboxes: number
  use: SystemUse
  /** Processor time of each part while the system gets no calls, in ms a second. */
  idleCpuMs: Readonly<Record<Part, number>>
  /** Private memory of one sandbox's own processes. */
  privateMb: number
  /** The growth of the whole system and of the kernel, for each sandbox beyond the first. */
  wholeMb: number
  availableMb: number
  /** The mean time of a create, with several at a time. */
  createMs: number
}
