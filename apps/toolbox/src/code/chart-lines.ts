/** The start of a line of output that carries JSON, not text. §17.2 of the contract. */
const ARTIFACT_MARK = 'dtn_artifact_k39fd2:'

export interface SplitOutput {
  /** The output without the lines that carry charts. */
  text: string
  charts: Record<string, unknown>[]
}

/** Separates the charts that code has drawn from its output. A chart's line that is cut or not JSON is dropped. */
export function splitCharts(output: string): SplitOutput {
  if (!output.includes(ARTIFACT_MARK)) return { text: output, charts: [] }
  const charts: Record<string, unknown>[] = []
  const kept: string[] = []
  // Each line keeps its newline, so that the text stays as it was.
  for (const line of output.split(/(?<=\n)/)) {
    if (!line.startsWith(ARTIFACT_MARK)) kept.push(line)
    else charts.push(...chartOf(line.slice(ARTIFACT_MARK.length)))
  }
  return { text: kept.join(''), charts }
}

function chartOf(text: string): Record<string, unknown>[] {
  try {
    const artifact: unknown = JSON.parse(text)
    if (!isObject(artifact) || artifact['type'] !== 'chart' || !isObject(artifact['value'])) return []
    return [artifact['value']]
  } catch {
    // Code may print anything after the mark.
    return []
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
