export interface ChaosOptions {
  seed: string
  workers: number
  stormMs: number
  /** How long a call may take beyond what is promised, in milliseconds: the faults' own time, and a busy machine. */
  slackMs: number
  /** How long the system may take to come to rest after the storm, in milliseconds. */
  settleMs: number
  /** When a runner that nobody hears of is lost, in seconds. */
  lostAfterS: number
  /** Kinds of faults to leave it at; all, where it is not given. */
  faults?: readonly string[]
  /** The data folder's file system; a full one fills it. */
  diskGib: number
  /** Where the built apps are. */
  checkout: string
  /** Told what happens, line by line. */
  say: (line: string) => void
  /** Ends the storm early; what comes after it is done all the same. */
  interrupted?: AbortSignal
}
