import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { lockDataFolder } from './data-folder-lock.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-lock-'))
})
afterAll(() => rm(folder, { recursive: true }))

it('a data folder is had by one at a time, and the message names it', async () => {
  const first = await lockDataFolder(folder)
  await expect(lockDataFolder(folder)).rejects.toThrow(`data folder ${folder} is in use by another runner`)
  await first[Symbol.asyncDispose]()
  const second = await lockDataFolder(folder)
  await second[Symbol.asyncDispose]()
})

it('of many that come at once, one has it', async () => {
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataFolder(folder)))
  const locks = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
  expect(locks).toHaveLength(1)
  await locks[0]?.[Symbol.asyncDispose]()
})

it('is had at once after a process that had it was killed, though what held it has not heard of that yet', async () => {
  const holder = spawn('flock', [join(folder, 'lock'), 'sh', '-c', 'echo held; sleep 0.5'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(holder.stdout, 'data')
  await using lock = await lockDataFolder(folder)
  expect(lock).toBeDefined()
})

it('a folder that is not there cannot be had', async () => {
  await expect(lockDataFolder(join(folder, 'nowhere'))).rejects.toThrow('cannot be locked')
})
