import type { CallTimes } from './density-calls.ts'
import type { Part, SystemUse } from './density-use.ts'

/** What is to be reached with 500: all memory for each, and a call's p50 against that with one. */
export const MAX_SANDBOX_MB = 20
export const MAX_CALL_RATIO = 1.2

/** What was found with so many sandboxes. Times in milliseconds, memory in MB. */
export interface DensityPoint extends CallTimes {
  sandboxes: number
  use: SystemUse
  /** Processor time of each part while nobody asks anything of the system, in ms a second. */
  idleCpuMs: Readonly<Record<Part, number>>
  /** Private memory of one sandbox's own processes. */
  privateMb: number
  /** The growth of the whole system and of the kernel, for each sandbox beyond the first. */
  wholeMb: number
  availableMb: number
  /** How long one create took on the average, several at a time. */
  createMs: number
}
