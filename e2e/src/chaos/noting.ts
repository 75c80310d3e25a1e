import type { Tally } from './tally.ts'

/** Does one part of a run; what it throws is a problem, so that the parts after it and the page come all the same. */
export async function noting(
  tally: Pick<Tally, 'problem'>,
  what: string,
  work: () => void | Promise<void>,
): Promise<void> {
  try {
    await work()
  } catch (error) {
    tally.problem(`${what} broke off: ${error instanceof Error ? error.message : error}`)
  }
}
