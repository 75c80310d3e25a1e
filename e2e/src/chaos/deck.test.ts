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
