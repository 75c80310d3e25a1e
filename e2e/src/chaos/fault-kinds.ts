/** Faults that nobody gets past, with how many of a deck they are: nobody gets anything done for a while. */
export const FAULTS_OF_ALL = {
  'kill api': 4,
  'kill runner': 4,
  'kill supervisor': 1,
  'kill postmaster': 2,
  'kill backend': 2,
  'stall api': 2,
  'stall runner': 2,
  'stall postmaster': 2,
  'stall backend': 2,
  'host disk full': 2,
  'long stall runner': 1,
} as const

/** Faults that some sandboxes notice, with how many of a deck they are. */
export const FAULTS_OF_SOME = {
  'kill toolbox': 7,
  'kill young runtime': 7,
  'kill old runtime': 3,
  'stall toolbox': 3,
  'long stall toolbox': 1,
  'lose second host': 2,
} as const

/** Faults that every storm begins with, in any order: a short one does not come to all kinds. */
export const FIRST_FAULTS: readonly FaultKind[] = [
  ...(['kill api', 'kill runner', 'kill postmaster', 'host disk full'] as const),
  ...(['kill toolbox', 'kill young runtime'] as const),
]

/** Faults that last longer than a short storm. */
export const LONG_FAULTS: readonly string[] = ['long stall runner', 'long stall toolbox']

/** A worker's own fault, which comes with what it does. */
export const FULL_SANDBOX = 'sandbox disk full'

export type FaultKind = keyof typeof FAULTS_OF_ALL | keyof typeof FAULTS_OF_SOME

/** Every kind of fault by its name. */
export const FAULT_KINDS: readonly string[] = [
  ...[...Object.keys(FAULTS_OF_ALL), ...Object.keys(FAULTS_OF_SOME)],
  FULL_SANDBOX,
]
