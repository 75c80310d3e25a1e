import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { chromium } from 'playwright-core'

export const CHROMIUM = '/usr/bin/chromium'

/** For whatever a page is asked to do: a browser that starts cold, beside other tests on few cores, is slow. */
const PAGE_WITHIN_MS = 120_000

/** A browser, or none where there is no Chromium. The caller closes it. */
export async function launchBrowser(): Promise<Browser | undefined> {
  if (!existsSync(CHROMIUM)) return undefined
  // Chromium's own sandbox refuses root; the pages are ours.
  return await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'], timeout: PAGE_WITHIN_MS })
}

export async function newPage(browser: Browser): Promise<Page> {
  const page = await browser.newPage()
  page.setDefaultTimeout(PAGE_WITHIN_MS)
  return page
}
