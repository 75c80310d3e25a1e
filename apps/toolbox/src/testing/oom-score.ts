/** A shell's line that waits until the toolbox, which may be late, has raised the score; then prints that of a child. */
export const PRINT_OOM_SCORE =
  'until grep -qx 500 /proc/$$/oom_score_adj; do sleep 0.01; done; echo "score $(cat /proc/self/oom_score_adj)"'
