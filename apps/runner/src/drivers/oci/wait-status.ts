import { constants } from 'node:os'

/** Returns a wait status in words: `exit 3`, `killed by SIGKILL`. An init like tini passes a signal on as 128 plus its number. */
export function describeWaitStatus(waitStatus: number): string {
  const exitCode = (waitStatus >> 8) & 0xff
  const signal = waitStatus & 0x7f || (exitCode > 128 ? exitCode - 128 : 0)
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0]
  return name === undefined ? `exit ${exitCode}` : `killed by ${name}`
}
