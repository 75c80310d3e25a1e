import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CHROMIUM, launchBrowser, newPage } from './testing/browser.ts'
import { sharedSystem } from './testing/shared-system.ts'

let browser: Browser | undefined
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-e2e-page-'))
  browser = await launchBrowser()
})
afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true })
})

it('the API page lists the operations, and one unfolds, without anything from outside', async ({ skip }) => {
  if (!browser) return skip(`no ${CHROMIUM} here`)
  const { url } = sharedSystem()
  const page = await newPage(browser)
  const foreign: string[] = []
  const problems: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) foreign.push(request.url())
  })
  page.on('pageerror', (error) => problems.push(error.message))
  await page.goto(`${url}/api/docs`)
  const operation = page.locator('.opblock', { hasText: '/api/sandbox' }).filter({ hasText: 'POST' }).first()
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.opblock-body').getByText('snapshot').first().waitFor()
  await page.screenshot({ path: join(folder, 'api-page.png') })
  expect(statSync(join(folder, 'api-page.png')).size).toBeGreaterThan(10_000)
  expect({ foreign, problems }).toEqual({ foreign: [], problems: [] })
})
