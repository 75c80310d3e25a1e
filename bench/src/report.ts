import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, release, totalmem } from 'node:os'
import { dirname } from 'node:path'
import type { BenchRow, BenchSection } from './bench-section.ts'

/** Describes the machine on which the numbers were measured. */
export function describeMachine(): string {
  const [cpu] = cpus()
  const memoryGib = Math.round(totalmem() / 1024 ** 3)
  return `${cpus().length} × ${cpu?.model.trim()}, ${memoryGib} GiB, Linux ${release()} ${arch()}, Node ${process.version}`
}

/** Formats a section as a table for the terminal. */
export function formatSection({ title, rows }: BenchSection): string {
  const header = ['', 'median', 'ratio', 'target', '']
  const cells = [header, ...rows.map(formatRow)]
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  )
  return `${title}\n${lines.map((line) => `  ${line.trimEnd()}`).join('\n')}\n`
}

function formatRow(row: BenchRow): string[] {
  const verdict = row.ok === undefined ? '' : row.ok ? 'ok' : 'MISSED'
  return [
    row.name,
    `${format(row.median)} ${row.unit}`,
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    row.target ?? '',
    verdict,
  ]
}

/** Writes all measurements to a file, to compare runs. */
export function writeResults(path: string, sections: readonly BenchSection[]): void {
  mkdirSync(dirname(path), { recursive: true })
  const results = { measuredAt: new Date().toISOString(), machine: describeMachine(), sections }
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
}

function format(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en')
  return value.toPrecision(3)
}
