/** A line of shell that waits until the toolbox, which may be late, has raised the score, and then prints a child's. */
export const PRINT_OOM_SCORE =
  'until grep -qx 500 /proc/$$/oom_score_adj; do sleep 0.01; done; echo "score $(cat /proc/self/oom_score_adj)"'
