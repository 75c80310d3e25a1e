import { FAULT_KINDS, FIRST_FAULTS } from './fault-kinds.ts'
import type { ChaosOptions } from './options.ts'
import type { Scene } from './scene.ts'
import { readEventCounts } from './system-rows.ts'

/** Events of sandboxes that every storm brings about: without one of them it shows nothing of what ends in it. */
const NEEDED_EVENTS = ['made', 'ready', 'halted', 'exited', 'saved', 'restored', 'removed', 'fork', 'claim'] as const
/**
 * A short storm goes on for a while to bring about all of them, but on a busy machine it passes with these: `everyDeed` archives,
 * restores, forks and takes over in the calm after it.
 */
const LEAST_EVENTS = ['made', 'ready', 'halted', 'removed'] as const
/** An event that only a long storm is sure to bring about. */
const RARE_EVENT = 'recover'
/** A storm that is to be this long, in milliseconds, has every kind of fault; a shorter one has the first ones. */
const LONG_STORM_MS = 5 * 60_000

/** What has come of a storm so far: how often each kind of fault and each event of a sandbox was. */
interface Shown {
  faults: ReadonlyMap<string, number>
  events: ReadonlyMap<string, number>
}

/**
 * What the storm has not shown yet, a line each, so that a run in which nothing happens is none that passes. Where it was
 * left at some faults, it shows those. Throws while the database is away.
 */
export async function whatIsUncovered({ atoll, options, tally }: Scene): Promise<string[]> {
  const events = await readEventCounts(atoll.dataDir)
  tally.fact('events', [...events].map(([event, count]) => `${event} ${count}`).join(', '))
  return missingIn({ faults: tally.faults, events }, options)
}

/** Returns of the lines of `whatIsUncovered` those that fail the run. */
export function whatFails(uncovered: readonly string[], { stormMs }: Pick<ChaosOptions, 'stormMs'>): string[] {
  if (stormMs >= LONG_STORM_MS) return [...uncovered]
  const excused = NEEDED_EVENTS.filter((event) => !LEAST_EVENTS.some((least) => least === event)).map(lineOf)
  return uncovered.filter((line) => !excused.includes(line))
}

/** The same of what is given. */
export function missingIn(shown: Shown, { faults: only, stormMs }: Pick<ChaosOptions, 'faults' | 'stormMs'>): string[] {
  const isLong = stormMs >= LONG_STORM_MS
  const kinds = only ?? (isLong ? FAULT_KINDS : FIRST_FAULTS)
  const needed = isLong ? [...NEEDED_EVENTS, RARE_EVENT] : NEEDED_EVENTS
  const events = only === undefined ? needed : []
  return [
    ...kinds.filter((kind) => !shown.faults.has(kind)).map((kind) => `the fault "${kind}" never came`),
    ...events.filter((event) => !shown.events.has(event)).map(lineOf),
  ]
}

function lineOf(event: string): string {
  return `no sandbox had the event "${event}"`
}
