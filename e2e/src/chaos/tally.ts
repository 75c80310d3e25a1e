/** How a call ended, as its client sees it. */
export type OutcomeKind = 'ok' | 'refused' | 'failed' | 'hung'

/** What is counted and what was found wrong, for the page that a run prints. */
export interface Tally {
  call(operation: string, outcome: OutcomeKind, ms: number): void
  /** Why a call did not do what was asked, in words that many calls may share. */
  reason(text: string): void
  fault(kind: string): void
  /** Something that must not be; each is said once. */
  problem(text: string): void
  /** A number for the page; the last one said counts. */
  fact(name: string, value: string | number): void
  readonly problems: readonly string[]
  /** How often each kind of fault was, of those that were. */
  readonly faults: ReadonlyMap<string, number>
  /** Calls that did what was asked, so far; to look does nothing. */
  readonly done: number
  /** Calls, faults and facts as lines. */
  page(): string
}

/** Problems kept: the first ones tell most. */
const MAX_PROBLEMS = 200
/** Reasons shown, and of each so many characters. */
const MAX_REASONS = 30
const MAX_REASON_CHARACTERS = 160
const ID = /[0-9a-f]{8}-[0-9a-f-]{27}|chaos-[\w-]+|\/home\/daytona\/\S+/g

export function createTally(say: (line: string) => void = () => undefined): Tally {
  const calls = new Map<string, Record<OutcomeKind, number> & { longestMs: number }>()
  const faults = new Map<string, number>()
  const reasons = new Map<string, number>()
  const facts = new Map<string, string | number>()
  const problems = new Set<string>()
  return {
    call(operation, outcome, ms) {
      const counts = calls.get(operation) ?? { ok: 0, refused: 0, failed: 0, hung: 0, longestMs: 0 }
      counts[outcome] += 1
      counts.longestMs = Math.max(counts.longestMs, ms)
      calls.set(operation, counts)
    },
    reason: (text) => count(reasons, text.replaceAll(ID, '…').slice(0, MAX_REASON_CHARACTERS)),
    faults,
    fault: (kind) => count(faults, kind),
    problem(text) {
      if (problems.has(text) || problems.size >= MAX_PROBLEMS) return
      problems.add(text)
      say(`PROBLEM ${text}`)
    },
    fact: (name, value) => void facts.set(name, value),
    get problems() {
      return [...problems]
    },
    get done() {
      return [...calls].reduce((total, [operation, { ok }]) => (operation.startsWith('look') ? total : total + ok), 0)
    },
    page() {
      const rows = [...calls].sort(([one], [other]) => one.localeCompare(other))
      const all = [...calls.values()]
      const most = [...reasons].sort(([, one], [, other]) => other - one).slice(0, MAX_REASONS)
      const sum = (kind: OutcomeKind) => all.reduce((total, counts) => total + counts[kind], 0)
      return [
        'calls            ok  refused   failed     hung   longest',
        ...rows.map(([name, counts]) => callLine(name, counts)),
        callLine('all', {
          ...{ ok: sum('ok'), refused: sum('refused'), failed: sum('failed'), hung: sum('hung') },
          longestMs: Math.max(0, ...all.map(({ longestMs }) => longestMs)),
        }),
        '',
        'why calls did not do what was asked',
        ...most.map(([reason, times]) => `${String(times).padStart(8)}  ${reason}`),
        '',
        `faults           ${[...faults].map(([kind, count]) => `${kind} ${count}`).join(', ') || 'none'}`,
        ...[...facts].map(([name, value]) => `${name.padEnd(16)} ${value}`),
        `problems         ${problems.size}`,
      ].join('\n')
    },
  }
}

function callLine(name: string, counts: Record<OutcomeKind, number> & { longestMs: number }): string {
  const { ok, refused, failed, hung, longestMs } = counts
  const numbers = [ok, refused, failed, hung].map((count) => String(count).padStart(8)).join(' ')
  return `${name.padEnd(11)}${numbers}  ${(longestMs / 1000).toFixed(1).padStart(6)} s`
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
