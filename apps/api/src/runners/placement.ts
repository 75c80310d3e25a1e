/** Cores and GiB. */
export interface Resources {
  cpu: number
  memoryGib: number
  diskGib: number
}

export interface PlacementCandidate extends Resources {
  id: string
}

/**
 * How much may be promised of what a host has. Limits are upper bounds: an idle sandbox uses about a hundredth of
 * its own, and what it may use at worst is enforced on the host.
 */
export const OVERCOMMIT: Readonly<Resources> = Object.freeze({ cpu: 64, memoryGib: 8, diskGib: 8 })

const NOTHING: Resources = { cpu: 0, memoryGib: 0, diskGib: 0 }

/** The runner with room for `need` that is used least, by its fullest resource; undefined when none has room. */
export function pickRunner(
  candidates: readonly PlacementCandidate[],
  usage: ReadonlyMap<string, Resources>,
  need: Resources,
): string | undefined {
  let best: { id: string; share: number } | undefined
  for (const candidate of candidates) {
    const share = shareAfter(candidate, usage.get(candidate.id) ?? NOTHING, need)
    if (share <= 1 && (best === undefined || share < best.share)) best = { id: candidate.id, share }
  }
  return best?.id
}

/** The fullest resource's share of what may be promised, once `need` is added. */
function shareAfter(capacity: Resources, used: Resources, need: Resources): number {
  const shares = (['cpu', 'memoryGib', 'diskGib'] as const).map((kind) => {
    const wanted = used[kind] + need[kind]
    return wanted === 0 ? 0 : wanted / (capacity[kind] * OVERCOMMIT[kind])
  })
  return Math.max(...shares)
}
