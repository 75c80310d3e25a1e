import { violation } from './tunnel-error.ts'

/*
 * The id of an exchange has 32 bits: its opener (1 bit, set for the listener), its slot (14 bits), and the number of times
 * that the slot was taken (17 bits), so that a late frame of an earlier exchange never reaches the slot's next one.
 */

const SLOT_BITS = 14
const GENERATION_SHIFT = SLOT_BITS + 1
const GENERATION_MASK = 2 ** (32 - GENERATION_SHIFT) - 1

/** The highest number of exchanges that one end may have open at once. */
export const MAX_SLOTS = 2 ** SLOT_BITS

const SLOT_MASK = MAX_SLOTS - 1

/** Returns 1 if the listener opened this exchange, 0 if the dialler did. */
export function openerBit(exchangeId: number): number {
  return exchangeId & 1
}

function slotOf(exchangeId: number): number {
  return (exchangeId >>> 1) & SLOT_MASK
}

/**
 * The exchanges that one end has opened, in an array: a Map with one insertion and one deletion for each call keeps its
 * old tables in memory for long.
 */
export class StreamSlots<T extends { readonly id: number }> {
  private readonly items: (T | undefined)[] = []
  private readonly generations: number[] = []
  private readonly free: number[] = []
  private readonly openerBit: number
  private readonly maxSlots: number
  private readonly idsFrom: 'here' | 'there'
  private open = 0

  /** `idsFrom` says which end chooses the ids: this one through `nextId`, or the other in the frames it sends. */
  constructor(options: { openerBit: number; maxSlots: number; idsFrom: 'here' | 'there' }) {
    this.openerBit = options.openerBit
    this.maxSlots = options.maxSlots
    this.idsFrom = options.idsFrom
  }

  get count(): number {
    return this.open
  }

  /** Returns an id for an exchange that this end opens, or undefined if all slots are taken. `put` must follow. */
  nextId(): number | undefined {
    if (this.open >= this.maxSlots) return undefined
    const slot = this.free.pop() ?? this.items.length
    // A generation is never 0, so that no exchange has the id of the link itself.
    const generation = ((this.generations[slot] ?? 0) % GENERATION_MASK) + 1
    this.generations[slot] = generation
    return ((generation << GENERATION_SHIFT) | (slot << 1) | this.openerBit) >>> 0
  }

  /** Takes the slot named by the exchange's id. Throws a violation if it is out of bounds or not free. */
  put(item: T): void {
    const slot = slotOf(item.id)
    if (slot >= this.maxSlots) throw violation('an exchange lies outside the agreed number')
    if (this.items[slot] !== undefined) throw violation('an exchange takes a slot that is not free')
    // The array has no holes, whichever slots a peer chooses.
    while (this.items.length < slot) this.items.push(undefined)
    this.items[slot] = item
    this.open += 1
  }

  /** Returns the exchange with this id, or undefined if it is over. Throws a violation if its slot was never used. */
  get(exchangeId: number): T | undefined {
    const slot = slotOf(exchangeId)
    if (slot >= this.items.length) throw violation('a frame is about an exchange that was never opened')
    const item = this.items[slot]
    return item?.id === exchangeId ? item : undefined
  }

  /** Frees an exchange's slot; returns false if it was free already. */
  remove(item: T): boolean {
    const slot = slotOf(item.id)
    if (this.items[slot] !== item) return false
    this.items[slot] = undefined
    if (this.idsFrom === 'here') this.free.push(slot)
    this.open -= 1
    return true
  }

  /** Returns all exchanges that are open now. */
  list(): T[] {
    return this.items.filter((item) => item !== undefined)
  }
}
