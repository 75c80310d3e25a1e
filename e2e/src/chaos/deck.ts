import type { Chance } from './chance.ts'

/** Cards drawn one after the other, all of them before any comes again. */
export interface Deck<Card> {
  /** Undefined when there are no cards. */
  draw(): Card | undefined
  /** Puts back a card that could not be played: it comes after the others that are left. */
  putBack(card: Card): void
}

/** Shuffles as many cards of each kind as `numbers` says, anew whenever all were drawn. Before them come those of `first`. */
export function createDeck<Card extends string>(
  chance: Chance,
  numbers: Readonly<Partial<Record<Card, number>>>,
  first: readonly Card[] = [],
): Deck<Card> {
  const kinds = Object.entries(numbers) as [Card, number][]
  const all = kinds.flatMap(([card, number]) => Array.from({ length: number }, () => card))
  let left = shuffled(first, chance)
  return {
    draw() {
      if (left.length === 0) left = shuffled(all, chance)
      return left.pop()
    },
    putBack: (card) => void left.unshift(card),
  }
}

function shuffled<Item>(items: readonly Item[], chance: Chance): Item[] {
  const left = [...items]
  return items.flatMap(() => left.splice(chance.integer(0, left.length - 1), 1))
}
