import { request } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLogLines } from '../testing/log-lines.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { snapshotCalls } from '../testing/snapshot-calls.ts'
import { until } from '../testing/until.ts'

const ERROR_LEVEL = 50
const LEAVES_AFTER_MS = 500

const logged = createLogLines()
let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld({ log: logged.log })
})
afterAll(() => world[Symbol.asyncDispose]())

const { create } = snapshotCalls(() => world)

test('a client that leaves while nobody builds yet is no failure of ours', async () => {
  await world.runner.disconnect()
  const { id } = await create({ imageName: undefined, buildInfo: { dockerfileContent: 'FROM a:1' } })
  const url = `${world.url}/api/snapshots/${id}/build-logs?follow=true`
  await until('a call is over that was left half-way', async () => {
    const reading = request(url, { headers: world.principal.headers })
    reading.on('error', () => undefined)
    reading.end()
    await setTimeout(LEAVES_AFTER_MS)
    reading.destroy()
    return logged.lines.some(({ route, aborted }) => aborted === true && String(route).endsWith('/build-logs'))
  })
  await setTimeout(LEAVES_AFTER_MS)
  expect(logged.lines.filter(({ level }) => level === ERROR_LEVEL)).toEqual([])
})
