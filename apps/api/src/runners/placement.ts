/** Cores and GiB. */
export interface Resources {
  cpu: number
  memoryGib: number
  diskGib: number
}

export interface PlacementCandidate extends Resources {
  id: string
  /** Sandboxes at most; null: as many as have room. */
  capacity: number | null
}

/** What lives on a runner. */
export interface RunnerLoad extends Resources {
  sandboxes: number
}

/**
 * How much may be promised of what a host has. Limits are upper bounds, each enforced on the host: an idle sandbox
 * uses a sixtieth of its GiB and a thousandth of its core (docs/benchmarks.md), so that idle ones that fill a host's
 * promises use two fifths of its memory. Should many want theirs at once, the kernel ends the largest processes, which are
 * sandboxes'. A runner that shall have fewer is registered with a capacity.
 */
export const OVERCOMMIT: Readonly<Resources> = Object.freeze({ cpu: 256, memoryGib: 24, diskGib: 8 })

/** Of so many that are used least one is taken by chance, so that a runner that fails does not fail everybody. */
const CHOICES = 10

const NOTHING: RunnerLoad = { cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0 }

export interface Placement {
  candidates: readonly PlacementCandidate[]
  /** By runner id. */
  usage: ReadonlyMap<string, RunnerLoad>
  need: Resources
  /** From 0 up to but not 1. */
  random: () => number
}

/** A runner with room for `need`: by chance one of those used least, by their fullest resource. Undefined when none has room. */
export function pickRunner({ candidates, usage, need, random }: Placement): string | undefined {
  const open = candidates
    .map((candidate) => ({ id: candidate.id, share: shareAfter(candidate, usage.get(candidate.id) ?? NOTHING, need) }))
    .filter(({ share }) => share <= 1)
    .sort((one, other) => one.share - other.share)
    .slice(0, CHOICES)
  return open[Math.floor(random() * open.length)]?.id
}

/** Whether a runner that has a sandbox already has room for more of it. */
export function hasRoom(runner: PlacementCandidate, load: RunnerLoad | undefined, need: Resources): boolean {
  return shareAfter({ ...runner, capacity: null }, load ?? NOTHING, need) <= 1
}

/** Whether more is promised of a runner than there is. */
export function isCrowded(runner: PlacementCandidate, load: RunnerLoad): boolean {
  const { capacity } = runner
  return (capacity !== null && load.sandboxes > capacity) || !hasRoom(runner, load, NOTHING)
}

/** The fullest resource's share of what may be promised, once `need` is added; infinite where there is no place at all. */
function shareAfter({ capacity, ...host }: PlacementCandidate, used: RunnerLoad, need: Resources): number {
  if (capacity !== null && used.sandboxes >= capacity) return Number.POSITIVE_INFINITY
  const shares = (['cpu', 'memoryGib', 'diskGib'] as const).map((kind) => {
    const wanted = used[kind] + need[kind]
    return wanted === 0 ? 0 : wanted / (host[kind] * OVERCOMMIT[kind])
  })
  return Math.max(...shares)
}
