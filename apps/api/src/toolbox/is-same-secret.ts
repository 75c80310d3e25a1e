import { timingSafeEqual } from 'node:crypto'

/** Compares in the same time for any text of the right length. */
export function isSameSecret(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
