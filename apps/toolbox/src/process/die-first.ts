import { writeFileSync } from 'node:fs'

/** What the kernel adds to a process's share of memory, in thousandths. */
const OOM_SCORE = '500'

/**
 * When memory runs out, the kernel ends this process and what it starts from now on, and not the toolbox that would
 * tell of it. Call it in the turn in which the process was started.
 */
export function dieFirst(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, OOM_SCORE)
  } catch {
    // It has ended, runs as another user, or has a higher one already.
  }
}
