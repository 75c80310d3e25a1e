import type { RunningAtoll } from '@atoll/dev-env'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { openListDatabase } from './list-database.ts'
import { median } from './measure.ts'
import type { SystemClient } from './system.ts'

const ROUNDS = 15
const FEW = 1_000
const MANY = 100_000
const ORGANIZATIONS = 99
/** The highest ratio of a page's time in a larger table; `NOISE_MS` more are allowed, for very short times. */
const MAX_RATIO = 2
const NOISE_MS = 3

/** One list that a client asks for. */
interface List {
  name: string
  path: string
  /** Whether the answer is the whole list, which grows with the organization by design. */
  whole?: boolean
}

const sorts = ['lastActivityAt', 'createdAt', 'name', 'cpu', 'memoryGib', 'diskGib']

const filters = {
  'one label of many': 'labels=%7B%22n%22%3A%22500%22%7D',
  'a label that one in 50 has': 'labels=%7B%22team%22%3A%227%22%7D',
  'a state that one in 1,000 has': 'states=error',
  'a common state': 'states=started',
  'beginning of the id': 'id=abc',
  'beginning of the name': 'name=sandbox-abc',
  'a snapshot': 'snapshots=python',
  'public ones': 'isPublic=true',
  'a region': 'regionIds=us',
  'a range of cores': 'minCpu=4&maxCpu=4',
  'a range of creation': `createdAtAfter=${new Date(Date.now() - 3_600_000).toISOString()}`,
  'a range of activity': `lastEventAfter=${new Date(Date.now() - 3_600_000).toISOString()}`,
} as const

const lists: List[] = [
  { name: 'array', path: '/api/sandbox', whole: true },
  ...sorts.flatMap((sort) =>
    ['asc', 'desc'].map((order) => ({
      name: `page by ${sort}, ${order}`,
      path: `/api/sandbox?sort=${sort}&order=${order}`,
    })),
  ),
  ...Object.entries(filters).map(([name, query]) => ({ name: `page of ${name}`, path: `/api/sandbox?${query}` })),
  { name: 'numbered page 1', path: '/api/sandbox/paginated', whole: true },
  { name: 'numbered page 10', path: '/api/sandbox/paginated?page=10', whole: true },
]

/**
 * Measures every list, sort and filter for a client: when its organization's 1,000 sandboxes are all there are, when they
 * are a hundredth of all, and when it has 100,000 of its own. The ratios are to the first case.
 */
export async function benchLists(atoll: RunningAtoll, client: SystemClient): Promise<BenchSection> {
  await using database = await openListDatabase(atoll)
  await database.fillOwn(FEW)
  const alone = await measure(client)
  await database.fillOthers(MANY - FEW, ORGANIZATIONS)
  const among = await measure(client)
  await database.fillOwn(MANY - FEW)
  const whole = await measure(client)
  const rows = lists.flatMap((list): BenchRow[] => {
    const base = alone.get(list) ?? Number.NaN
    const compare = comparedWith(base)
    return [
      { name: list.name, median: base, unit: 'ms' },
      { name: `… of ${MANY} in 100 organizations`, ...compare(among.get(list) ?? Number.NaN, true) },
      { name: `… of ${MANY} of its own`, ...compare(whole.get(list) ?? Number.NaN, list.whole !== true) },
    ]
  })
  return { title: `lists of ${FEW} sandboxes, and of ${MANY}`, rows }
}

function comparedWith(base: number) {
  return (ms: number, isBound: boolean): Omit<BenchRow, 'name'> => {
    const row = { median: ms, unit: 'ms', ratio: ms / base }
    return isBound ? { ...row, target: `≤ ${MAX_RATIO}`, ok: ms <= base * MAX_RATIO + NOISE_MS } : row
  }
}

async function measure(client: SystemClient): Promise<Map<List, number>> {
  const times = new Map<List, number[]>(lists.map((list) => [list, []]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const list of lists) {
      const startedAt = performance.now()
      await client.call('GET', list.path, list.path === '/api/sandbox' ? {} : { headers: PAGING })
      if (round >= 0) times.get(list)?.push(performance.now() - startedAt)
    }
  }
  return new Map([...times].map(([list, taken]) => [list, median(taken)]))
}

/** The header by which the API knows an SDK that takes pages. */
const PAGING = { 'x-daytona-sdk-version': '0.218.0' }
