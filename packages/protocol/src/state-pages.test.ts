import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sandboxPhases, shownOf } from './sandbox-state.ts'
import { type Refusal, sandboxEvents, sandboxStateTable, sandboxSteps } from './sandbox-state-table.ts'
import { snapshotEvents, snapshotStateTable } from './snapshot-state-table.ts'
import { volumeEvents, volumeStateTable } from './volume-state-table.ts'

const PAGES = join(import.meta.dirname, '../../../docs/spec')
const NOTHING = '·'

/** What a page says of one state: the cell of each event, and of other columns by their heads. */
type PageRow = ReadonlyMap<string, string>

/** Reads the table of a page whose first two heads are these. A row for several states is read as one for each. */
function readTable(page: string, heads: readonly [string, string]): Map<string, PageRow> {
  const lines = readFileSync(join(PAGES, page), 'utf8').split('\n')
  const first = lines.findIndex((line) => line.startsWith(`| ${heads[0]} | ${heads[1]} |`))
  const length = lines.slice(first).findIndex((line) => !line.startsWith('|'))
  const [names = [], , ...rows] = lines.slice(first, first + length).map((line) => line.slice(2, -2).split(' | '))
  return new Map(
    rows.flatMap(([states = '', ...cells]) => {
      const row = new Map(cells.flatMap((cell, at) => readCell(names[at + 1] ?? '', cell)))
      return states.split(', ').map((state): [string, PageRow] => [state, row])
    }),
  )
}

/** The reports share one cell: `a, b → state, c → other`. */
function readCell(head: string, cell: string): [string, string][] {
  if (!/^reports?$/.test(head)) return [[head, cell]]
  let events: string[] = []
  return cell.split(', ').flatMap((part): [string, string][] => {
    const [event = '', target] = part.split(' → ')
    events.push(event)
    if (target === undefined) return []
    const read = events.map((one): [string, string] => [one, target])
    events = []
    return read
  })
}

function isRefusal(cell: string | Refusal): cell is Refusal {
  return typeof cell === 'object'
}

describe('the tables of docs/spec', () => {
  const short: Record<string, string> = {
    'Sandbox state change in progress': 'ip',
    'Sandbox is not in valid state': 'nv',
    'Sandbox is not in a recoverable error state': 'nr',
    'Sandbox cannot be reached: its runner is lost': 'rl',
  }
  const inCode = (cell: string | Refusal) => {
    if (isRefusal(cell)) return short[cell.message] ?? cell.message.replace(/^\w+ is /, '')
    return cell === 'same' ? NOTHING : cell === 'asBefore' ? 'as before' : cell
  }
  /** Compares a row of a page with the row of the code for the same state. */
  const compare = <Event extends string>(
    said: PageRow | undefined,
    { cells, events }: { cells: Readonly<Record<Event, string | Refusal>>; events: readonly Event[] },
  ) => {
    const onPage = events.map((event) => [event, said?.get(event) ?? NOTHING])
    expect(onPage).toEqual(events.map((event) => [event, inCode(cells[event])]))
  }
  /** The sentences below the table name these for all phases. */
  const inSentences = new Set(['delete', 'lost', 'lostWithBackup'])

  const sandboxPage = readTable('sandbox-state.md', ['phase', 'start'])
  it.each(sandboxPhases)('have what each event leads to in a sandbox that is %s', (phase) => {
    const row = sandboxPage.get(phase)
    const events = sandboxEvents.filter((event) => !inSentences.has(event))
    const said = events.map((event) => [event, (row?.get(event) ?? NOTHING).replace('ok', NOTHING)])
    expect(said).toEqual(events.map((event) => [event, inCode(sandboxStateTable[phase][event])]))
    expect(row?.get('next step')).toBe(sandboxSteps[shownOf(phase)])
  })

  const snapshotPage = readTable('snapshot-state.md', ['state', 'activate'])
  it.each(Object.keys(snapshotStateTable) as (keyof typeof snapshotStateTable)[])(
    'have what each event leads to in a snapshot that is %s',
    (state) => {
      compare(snapshotPage.get(state), { cells: snapshotStateTable[state], events: snapshotEvents })
    },
  )

  const volumePage = readTable('volume-state.md', ['state', 'delete'])
  it.each(Object.keys(volumeStateTable) as (keyof typeof volumeStateTable)[])(
    'have what each event leads to in a volume that is %s',
    (state) => {
      compare(volumePage.get(state), { cells: volumeStateTable[state], events: volumeEvents })
    },
  )

  it('have no row for a state that there is not', () => {
    expect([...sandboxPage.keys()].sort()).toEqual([...sandboxPhases].sort())
    expect([...snapshotPage.keys()].sort()).toEqual(Object.keys(snapshotStateTable).sort())
    expect([...volumePage.keys()].sort()).toEqual(Object.keys(volumeStateTable).sort())
  })
})
