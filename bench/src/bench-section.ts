/** One measurement of a section, the median over its rounds. */
export interface BenchRow {
  name: string
  median: number
  unit: string
  /** Against the section's yardstick, which `name` or the section's title tells. */
  ratio?: number
  /** What to reach, as a person reads it: `≥ 0.65 of direct`. */
  target?: string
  /** Whether the target was reached. */
  ok?: boolean
}

/** A part of the benchmark, printed as one table. */
export interface BenchSection {
  title: string
  rows: BenchRow[]
}
