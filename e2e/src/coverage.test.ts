import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

let system: System

beforeAll(async () => {
  system = await startSystem()
})
afterAll(async () => {
  expect(await system.end()).toEqual([])
})

it('COVERAGE.md names every operation of the OpenAPI document, and no other', async () => {
  const answer = await fetch(`${system.atoll.url}/api/docs/json`)
  const { paths } = (await answer.json()) as { paths: Record<string, object> }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const text = readFileSync(join(import.meta.dirname, '../COVERAGE.md'), 'utf8')
  const listed = [...text.matchAll(/^\| ([A-Z]+ \/\S+)\s+\|/gm)].map(([, operation]) => operation)
  expect(listed.sort()).toEqual(operations.sort())
})
