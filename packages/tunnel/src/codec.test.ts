import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteQueue } from './byte-queue.ts'
import { decodeRequestHead, decodeResponseHead, encodeRequestHead, encodeResponseHead } from './head-codec.ts'
import { StreamSlots } from './stream-slots.ts'
import { TunnelError } from './tunnel-error.ts'
import type { Headers } from './types.ts'

const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9a-z]{1,12}$/)
const value = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,30}$/)
const headers: fc.Arbitrary<Headers> = fc.dictionary(
  fc.oneof(token, fc.constantFrom('__proto__', 'constructor')),
  fc.oneof(value, fc.array(value, { minLength: 2, maxLength: 3 })),
  { noNullPrototype: false },
)
const path = fc.stringMatching(/^[\x21-\x7e\x80-\xff]{1,40}$/)

const plain = (given: Headers) => Object.entries(given).sort(([a], [b]) => (a < b ? -1 : 1))

describe('a head', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(token, path, headers, (method, target, given) => {
        const head = decodeRequestHead(encodeRequestHead({ method, path: target, headers: given }))
        expect([head.method, head.path, plain(head.headers)]).toEqual([method, target, plain(given)])
      }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 599 }), headers, (status, given) => {
        const head = decodeResponseHead(encodeResponseHead({ status, headers: given }))
        expect([head.status, plain(head.headers)]).toEqual([status, plain(given)])
      }),
    )
  })

  it('of any bytes is read or is a violation, and never changes an object’s prototype', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
        for (const decode of [decodeRequestHead, decodeResponseHead]) {
          try {
            expect(Object.getPrototypeOf(decode(text).headers)).toBeNull()
          } catch (error) {
            expect(error).toBeInstanceOf(TunnelError)
            expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' })
          }
        }
      }),
    )
  })
})

describe('held bytes', () => {
  it('come out as they went in, in blocks of their own', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(40_000), fc.constant(-1)), { maxLength: 30 }), (steps) => {
        const queue = new ByteQueue()
        const put: Buffer[] = []
        const got: Buffer[] = []
        for (const [index, step] of steps.entries()) {
          if (step >= 0) {
            const chunk = Buffer.alloc(step, index)
            queue.push(chunk)
            put.push(chunk)
          } else if (queue.length > 0) got.push(Buffer.from(queue.shift()))
        }
        while (queue.length > 0) got.push(queue.shift())
        expect(Buffer.concat(got).equals(Buffer.concat(put))).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})

describe('slots', () => {
  it('give each exchange an id of its own, so that one that is over is never found', () => {
    const slots = new StreamSlots<{ id: number }>({ openerBit: 1, maxSlots: 8, idsFrom: 'here' })
    const seen = new Set<number>()
    const open: { id: number }[] = []
    for (let step = 0; step < 5_000; step += 1) {
      if (open.length === 8 || (step % 3 === 0 && open.length > 0)) {
        const [item] = open.splice(step % open.length, 1)
        if (item !== undefined) slots.remove(item)
        expect(slots.get(item?.id ?? 0)).toBeUndefined()
      }
      const id = slots.nextId()
      if (id === undefined) throw new Error('no slot is free')
      expect(seen.has(id)).toBe(false)
      seen.add(id)
      const item = { id }
      slots.put(item)
      open.push(item)
      expect(slots.get(id)).toBe(item)
    }
    expect(slots.count).toBe(open.length)
    while (open.length < 8) {
      const item = { id: slots.nextId() ?? 0 }
      slots.put(item)
      open.push(item)
    }
    expect(slots.nextId()).toBeUndefined()
  })
})
