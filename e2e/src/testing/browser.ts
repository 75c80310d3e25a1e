import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { chromium } from 'playwright-core'

export const CHROMIUM = '/usr/bin/chromium'

/** The deadline of each action of a page: a browser that starts cold, beside other tests on few cores, is slow. */
const PAGE_WITHIN_MS = 120_000

/** Starts a browser; returns undefined if there is no Chromium. The caller must close it. */
export async function launchBrowser(): Promise<Browser | undefined> {
  if (!existsSync(CHROMIUM)) return undefined
  // Chromium's own sandbox does not work as root; it is not needed for our own pages.
  return await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'], timeout: PAGE_WITHIN_MS })
}

export async function newPage(browser: Browser): Promise<Page> {
  const page = await browser.newPage()
  page.setDefaultTimeout(PAGE_WITHIN_MS)
  return page
}
