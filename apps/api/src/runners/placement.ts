/** Cores and GiB. */
export interface Resources {
  cpu: number
  memoryGib: number
  diskGib: number
}

export interface PlacementCandidate extends Resources {
  id: string
  /** The most sandboxes; null: as many as have room. */
  capacity: number | null
}

/** The sandboxes on a runner: their number and their resources. */
export interface RunnerLoad extends Resources {
  sandboxes: number
}

/**
 * The factors by which a host's resources may be promised more than once. Limits are upper bounds, each enforced on the host:
 * an idle sandbox uses a sixtieth of its GiB and a thousandth of its core (docs/benchmarks.md), so that a host full of idle
 * sandboxes uses two fifths of its memory. Should many need theirs at once, the kernel ends the largest processes, which
 * belong to sandboxes. A runner that is to have fewer sandboxes is registered with a capacity.
 */
export const OVERCOMMIT: Readonly<Resources> = Object.freeze({ cpu: 256, memoryGib: 24, diskGib: 8 })

/** The number of least used runners of which one is picked by chance, so that a failing runner does not fail every create. */
const CHOICES = 10

const NOTHING: RunnerLoad = { cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0 }

export interface Placement {
  candidates: readonly PlacementCandidate[]
  /** The loads by runner id. */
  usage: ReadonlyMap<string, RunnerLoad>
  need: Resources
  /** Returns a number from 0 up to but not including 1. */
  random: () => number
}

/**
 * Picks a runner with room for `need`: by chance one of the least used, compared by their fullest resource. Returns undefined
 * if none has room.
 */
export function pickRunner({ candidates, usage, need, random }: Placement): string | undefined {
  const open = candidates
    .map((candidate) => ({ id: candidate.id, share: shareAfter(candidate, usage.get(candidate.id) ?? NOTHING, need) }))
    .filter(({ share }) => share <= 1)
    .sort((one, other) => one.share - other.share)
    .slice(0, CHOICES)
  return open[Math.floor(random() * open.length)]?.id
}

/** Returns whether a runner has room for more resources of a sandbox that is on it already. */
export function hasRoom(runner: PlacementCandidate, load: RunnerLoad | undefined, need: Resources): boolean {
  return shareAfter({ ...runner, capacity: null }, load ?? NOTHING, need) <= 1
}

/** Returns whether more is promised of a runner than may be. */
export function isCrowded(runner: PlacementCandidate, load: RunnerLoad): boolean {
  const { capacity } = runner
  return (capacity !== null && load.sandboxes > capacity) || !hasRoom(runner, load, NOTHING)
}

/** Returns the fullest resource's share of what may be promised, with `need` added; infinite if the capacity is used up. */
function shareAfter({ capacity, ...host }: PlacementCandidate, used: RunnerLoad, need: Resources): number {
  if (capacity !== null && used.sandboxes >= capacity) return Number.POSITIVE_INFINITY
  const shares = (['cpu', 'memoryGib', 'diskGib'] as const).map((kind) => {
    const wanted = used[kind] + need[kind]
    return wanted === 0 ? 0 : wanted / (host[kind] * OVERCOMMIT[kind])
  })
  return Math.max(...shares)
}
