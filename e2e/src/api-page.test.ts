import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

const CHROMIUM = '/usr/bin/chromium'

let system: System
let browser: Browser | undefined
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-e2e-page-'))
  system = await startSystem()
  if (existsSync(CHROMIUM)) {
    // Chromium's own sandbox refuses root; the page is ours.
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  }
})
afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true })
  expect(await system.end()).toEqual([])
})

it('the API page lists the operations, and one unfolds, without anything from outside', async ({ skip }) => {
  if (!browser) return skip(`no ${CHROMIUM} here`)
  const page = await browser.newPage()
  const foreign: string[] = []
  const problems: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(system.atoll.url) && !request.url().startsWith('data:')) foreign.push(request.url())
  })
  page.on('pageerror', (error) => problems.push(error.message))
  await page.goto(`${system.atoll.url}/api/docs`)
  const operation = page.locator('.opblock', { hasText: '/api/sandbox' }).filter({ hasText: 'POST' }).first()
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.opblock-body').getByText('snapshot').first().waitFor()
  await page.screenshot({ path: join(folder, 'api-page.png') })
  expect(statSync(join(folder, 'api-page.png')).size).toBeGreaterThan(10_000)
  expect({ foreign, problems }).toEqual({ foreign: [], problems: [] })
})
