import { violation } from './tunnel-error.ts'

/*
 * The id of an exchange, 32 bits: who opened it (1 bit, set for the listener), the slot it lies in (14 bits), and how
 * often that slot was taken before (17 bits), so that a frame about an exchange long gone never meets its successor.
 */

const SLOT_BITS = 14
const GENERATION_SHIFT = SLOT_BITS + 1
const GENERATION_MASK = 2 ** (32 - GENERATION_SHIFT) - 1

/** The most exchanges that one end may ever have open. */
export const MAX_SLOTS = 2 ** SLOT_BITS

const SLOT_MASK = MAX_SLOTS - 1

/** 1 if the listener opened this exchange, 0 if the dialler did. */
export function openerBit(exchangeId: number): number {
  return exchangeId & 1
}

function slotOf(exchangeId: number): number {
  return (exchangeId >>> 1) & SLOT_MASK
}

/**
 * The exchanges one end has opened, in an array: a Map that sees one insertion and one deletion a call keeps its dead
 * tables alive for long.
 */
export class StreamSlots<T extends { readonly id: number }> {
  private readonly items: (T | undefined)[] = []
  private readonly generations: number[] = []
  private readonly free: number[] = []
  private readonly openerBit: number
  private readonly maxSlots: number
  private readonly idsFrom: 'here' | 'there'
  private open = 0

  /** `idsFrom` says who chooses the ids: this end through `nextId`, or the other in the frames it sends. */
  constructor(options: { openerBit: number; maxSlots: number; idsFrom: 'here' | 'there' }) {
    this.openerBit = options.openerBit
    this.maxSlots = options.maxSlots
    this.idsFrom = options.idsFrom
  }

  get count(): number {
    return this.open
  }

  /** An id for an exchange that this end opens, or undefined if all slots are taken. `put` must follow. */
  nextId(): number | undefined {
    if (this.open >= this.maxSlots) return undefined
    const slot = this.free.pop() ?? this.items.length
    // Never 0, so that no exchange has the id of the link itself.
    const generation = ((this.generations[slot] ?? 0) % GENERATION_MASK) + 1
    this.generations[slot] = generation
    return ((generation << GENERATION_SHIFT) | (slot << 1) | this.openerBit) >>> 0
  }

  /** Takes the slot named by the exchange's id. Throws a violation if it is out of bounds or not free. */
  put(item: T): void {
    const slot = slotOf(item.id)
    if (slot >= this.maxSlots) throw violation('an exchange lies outside the agreed number')
    if (this.items[slot] !== undefined) throw violation('an exchange takes a slot that is not free')
    // The array stays without holes however a peer chooses its slots.
    while (this.items.length < slot) this.items.push(undefined)
    this.items[slot] = item
    this.open += 1
  }

  /** The exchange with this id, or undefined if it is over. Throws a violation if there never was one in its slot. */
  get(exchangeId: number): T | undefined {
    const slot = slotOf(exchangeId)
    if (slot >= this.items.length) throw violation('a frame is about an exchange that was never opened')
    const item = this.items[slot]
    return item?.id === exchangeId ? item : undefined
  }

  /** Frees an exchange's slot; false if it was free already. */
  remove(item: T): boolean {
    const slot = slotOf(item.id)
    if (this.items[slot] !== item) return false
    this.items[slot] = undefined
    if (this.idsFrom === 'here') this.free.push(slot)
    this.open -= 1
    return true
  }

  /** All open exchanges, as they are now. */
  list(): T[] {
    return this.items.filter((item) => item !== undefined)
  }
}
