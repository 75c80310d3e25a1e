import type { ByteSpan } from './object-store.ts'

const RANGE = /^bytes=(\d{0,16})-(\d{0,16})$/

/**
 * Reads the span that a `Range` header requests of `size` bytes. Undefined means all of them: also for a header that is
 * not understood or names several ranges. Returns `unsatisfiable` when none of the bytes exist.
 */
export function readRange(header: string | undefined, size: number): ByteSpan | 'unsatisfiable' | undefined {
  const match = RANGE.exec(header ?? '')
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  if (first === '') {
    const wanted = Math.min(Number(last), size)
    return wanted === 0 ? 'unsatisfiable' : { start: size - wanted, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return undefined
  return start >= size ? 'unsatisfiable' : { start, end }
}
