import { writeFileSync } from 'node:fs'

/** Added to a process's share of memory when the kernel picks one to end, in thousandths. */
const OOM_SCORE = '500'

/**
 * Makes the kernel end this process and those it starts from now on when memory runs out, and not the toolbox, which has
 * to report it. Call it in the turn in which the process was started.
 */
export function dieFirst(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, OOM_SCORE)
  } catch {
    // The process has ended, runs as another user, or has a higher score already.
  }
}
