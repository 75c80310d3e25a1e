import { expect, test } from 'vitest'
import { createPasswordHasher } from './password-hasher.ts'

test('a password is known by its hash, however its letters are encoded', async () => {
  const hasher = createPasswordHasher()
  const hash = await hasher.hash('pässword one')
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  expect(await hasher.verify(hash, 'pa\u0308ssword one')).toBe(true)
  expect(await hasher.verify(hash, 'password one')).toBe(false)
  expect(await hasher.hash('pässword one')).not.toBe(hash)
})

test('without a hash every password is wrong', async () => {
  const hasher = createPasswordHasher()
  expect(await Promise.all(['', 'x', 'y'].map((password) => hasher.verify(undefined, password)))).toEqual([
    false,
    false,
    false,
  ])
})

test('a flood is told to come back, and what waits is served', async () => {
  const hasher = createPasswordHasher()
  const hash = await hasher.hash('one of many')
  const flood = await Promise.allSettled(Array.from({ length: 80 }, () => hasher.verify(hash, 'one of many')))
  const served = flood.filter(({ status }) => status === 'fulfilled')
  const refused = flood.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  expect(served).toHaveLength(66)
  for (const reason of refused) expect(reason).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
})
