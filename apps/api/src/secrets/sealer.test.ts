import { randomBytes } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SealedPlace } from './sealer.ts'
import { createSealer } from './sealer.ts'
import { parseSealingKeys } from './sealing-key.ts'

const place = { table: 'docker_registries', row: 'a', column: 'password' }

function newKey(): string {
  return randomBytes(32).toString('base64')
}

function sealerWith(...keys: string[]) {
  return createSealer(parseSealingKeys(keys.join(',')))
}

function refusal(open: () => string): string {
  try {
    return `opened: ${open()}`
  } catch (error) {
    return error instanceof AppError ? `${error.code} ${error.message}` : String(error)
  }
}

describe('a sealed value', () => {
  const sealer = sealerWith(newKey())

  it('opens to what was sealed, whatever it holds', () => {
    void fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 1_000 }), (text) => {
        expect(sealer.open(sealer.seal(text, place), place)).toBe(text)
      }),
    )
  })

  it('is another each time and never holds the text', () => {
    const text = 'correct horse battery staple'
    const sealed = new Set(Array.from({ length: 100 }, () => sealer.seal(text, place)))
    expect(sealed.size).toBe(100)
    for (const value of sealed) expect(Buffer.from(value, 'base64url').includes(text)).toBe(false)
  })

  it.each<[string, Partial<SealedPlace>]>([
    ['table', { table: 'users' }],
    ['row', { row: 'b' }],
    ['column', { column: 'username' }],
    ['place that is written alike', { table: 'docker_registries","a', row: 'password' }],
  ])('does not open in another %s', (_what, elsewhere) => {
    const sealed = sealer.seal('hunter2', place)
    expect(refusal(() => sealer.open(sealed, { ...place, ...elsewhere }))).toMatch(/^SECRET_UNREADABLE .*altered/)
  })

  it('does not open when any bit of it was changed', () => {
    const sealed = Buffer.from(sealer.seal('hunter2', place), 'base64url')
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(refusal(() => sealer.open(changed.toString('base64url'), place))).toMatch(/^SECRET_UNREADABLE/)
    }
  })

  it('does not open when it was cut', () => {
    const sealed = Buffer.from(sealer.seal('hunter2', place), 'base64url')
    for (let length = 0; length < sealed.length; length++) {
      const cut = sealed.subarray(0, length).toString('base64url')
      expect(refusal(() => sealer.open(cut, place))).toMatch(/^SECRET_UNREADABLE/)
    }
  })
})

describe('rotation', () => {
  const [old, next] = [newKey(), newKey()]

  it('opens with every key and seals with the first', () => {
    const before = sealerWith(old)
    const during = sealerWith(next, old)
    const after = sealerWith(next)
    const sealed = before.seal('hunter2', place)
    expect(during.open(sealed, place)).toBe('hunter2')
    expect([during.isOutdated(sealed), before.isOutdated(sealed)]).toEqual([true, false])
    expect(after.open(during.seal('hunter2', place), place)).toBe('hunter2')
  })

  it('says what is missing when the key is not there', () => {
    const sealed = sealerWith(old).seal('hunter2', place)
    expect(refusal(() => sealerWith(next).open(sealed, place))).toMatch(/^SECRET_UNREADABLE .*ATOLL_ENCRYPTION_KEY/)
  })
})
