import { expect, it } from 'vitest'
import { createChance } from './chance.ts'
import { createDeck } from './deck.ts'

it('deals every card before any comes again, and one that is put back after the others', () => {
  const deck = createDeck(createChance('a deck'), { often: 3, seldom: 1 })
  const round = () => Array.from({ length: 4 }, () => deck.draw()).sort()
  expect([round(), round()]).toEqual(Array(2).fill(['often', 'often', 'often', 'seldom']))
  const first = deck.draw() ?? 'often'
  deck.putBack(first)
  const left = Array.from({ length: 4 }, () => deck.draw())
  expect(left.at(-1)).toBe(first)
  expect(createDeck(createChance('none'), {}).draw()).toBeUndefined()
})

it('deals the first cards before all others, in an order of its own', () => {
  const first = ['often', 'seldom', 'never'] as const
  const dealt = ['one', 'two', 'three', 'four'].map((seed) => {
    const deck = createDeck(createChance(seed), { often: 3, seldom: 1, never: 0 }, first)
    return [...first, ...'rest'].map(() => deck.draw())
  })
  for (const cards of dealt) {
    expect(cards.slice(0, 3).sort()).toEqual(['never', 'often', 'seldom'])
    expect(cards.slice(3).sort()).toEqual(['often', 'often', 'often', 'seldom'])
  }
  expect(new Set(dealt.map((cards) => cards.slice(0, 3).join())).size).toBeGreaterThan(1)
})
