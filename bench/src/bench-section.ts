/** One measurement of a section, the median over its rounds. */
export interface BenchRow {
  name: string
  median: number
  unit: string
  /** The ratio to the section's yardstick, which `name` or the section's title tells. */
  ratio?: number
  /** The target in readable form: `≥ 0.65 of direct`. */
  target?: string
  /** Whether the target was reached. */
  ok?: boolean
}

/** A part of the benchmark, printed as one table. */
export interface BenchSection {
  title: string
  rows: BenchRow[]
}
