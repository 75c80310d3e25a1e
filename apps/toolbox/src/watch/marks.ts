/** The most names that are kept until they are looked at. */
const MAX_MARKS = 50_000
/** Names that are looked at at the same time. */
const BATCH_SIZE = 32

/** A name in a watched folder about which the system has reported an event. */
export interface Place {
  /** A path below the root; `.` is the root. */
  readonly folder: string
  readonly name: string
  /** Whether only content or attributes may differ: nothing was created, deleted or replaced. */
  readonly contentOnly: boolean
}

/** The places to look at, each one once. */
export interface Marks {
  /** Returns false when there are too many. */
  add(place: Place): boolean
  /** Takes all places, folder by folder, in batches of one folder each. */
  take(): Place[][]
}

export function createMarks(): Marks {
  let folders = new Map<string, Map<string, Place>>()
  let count = 0
  return {
    add(place) {
      const names = folders.get(place.folder) ?? new Map<string, Place>()
      folders.set(place.folder, names)
      const before = names.get(place.name)
      if (before === undefined) count += 1
      if (before?.contentOnly !== false) names.set(place.name, place)
      return count <= MAX_MARKS
    },
    take() {
      const taken = [...folders.values()].flatMap((names) => inBatches([...names.values()]))
      folders = new Map()
      count = 0
      return taken
    },
  }
}

function inBatches(places: readonly Place[]): Place[][] {
  const batches: Place[][] = []
  for (let start = 0; start < places.length; start += BATCH_SIZE) batches.push(places.slice(start, start + BATCH_SIZE))
  return batches
}
