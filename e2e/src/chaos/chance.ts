/** Chance that a seed decides: the same seed asks the same questions in the same order. */
export interface Chance {
  /** From `min` to `max`, both included. */
  integer(min: number, max: number): number
  /** Throws for an empty list. */
  pick<Item>(items: readonly Item[]): Item
  /** One of the items, each as likely as its weight says; undefined when none has a weight. */
  weigh<Item extends { weight: number }>(items: readonly Item[]): Item | undefined
  /** True in so many of a hundred cases. */
  percent(share: number): boolean
  /** A source of its own, so that what one worker does changes nothing for the others. */
  child(name: string): Chance
}

export function createChance(seed: string): Chance {
  let state = hash(seed)
  /** Mulberry32: small, and good enough to choose with. */
  function next(): number {
    state = (state + 0x6d_2b_79_f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    integer: (min, max) => min + Math.floor(next() * (max - min + 1)),
    pick(items) {
      const item = items[Math.floor(next() * items.length)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
    weigh(items) {
      let left = next() * items.reduce((sum, { weight }) => sum + weight, 0)
      return items.find(({ weight }) => {
        left -= weight
        return weight > 0 && left < 0
      })
    },
    percent: (share) => next() * 100 < share,
    child: (name) => createChance(`${seed}/${name}`),
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x81_1c_9d_c5
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01_00_01_93)
  return value
}
