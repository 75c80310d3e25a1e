import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHROMIUM, launchBrowser, newPage } from './testing/browser.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { askPreview, startDevServer } from './testing/preview.ts'
import { call, sdk23, sharedSystem } from './testing/shared-system.ts'

const PORT = 3000
/** The folder for screenshots of the pages; none are made without it. */
const shotsDir = process.env['ATOLL_E2E_SCREENSHOTS']

const own = ownSandbox218()
let browser: Browser | undefined

beforeAll(async () => {
  await startDevServer(own.sandbox, PORT)
  browser = await launchBrowser()
})
afterAll(() => browser?.close())

describe('a preview', () => {
  it('is opened by the token that SDKs give', async () => {
    const { url, token } = await own.sandbox.getPreviewLink(PORT)
    expect(url).toBe(`${sharedSystem().url.replace('127.0.0.1', `${PORT}-${own.sandbox.id}.localhost`)}`)
    const sandbox23 = await sdk23().get(own.sandbox.id)
    expect(await sandbox23.getPreviewLink(PORT)).toMatchObject({ url, token })
    const answer = await askPreview(`${url}/headers?a=1&DAYTONA_SANDBOX_AUTH_KEY=${token}`, { 'x-own': 'kept' })
    expect(JSON.parse(await text(answer))).toMatchObject({
      ...{ url: '/headers?a=1', 'x-own': 'kept', 'x-forwarded-host': new URL(url).host, host: `localhost:${PORT}` },
    })
    expect((await askPreview(url)).statusCode).toBe(401)
  })

  it('streams as the program writes', async () => {
    const { url, token } = await own.sandbox.getPreviewLink(PORT)
    const headers = { 'x-daytona-preview-token': token }
    const answer = await askPreview(`${url}/stream`, headers)
    const pieces: string[] = []
    for await (const piece of answer) {
      pieces.push(String(piece))
      // The server writes the last piece only after this call, which follows the first piece.
      if (pieces.length === 1) await askPreview(`${url}/stream/go-on`, headers)
    }
    expect(pieces).toEqual(['first ', 'last'])
  })

  it('is opened by a signed link, until that is ended', async () => {
    const link = await own.sandbox.getSignedPreviewUrl(PORT, 600)
    expect((await askPreview(link.url)).statusCode).toBe(200)
    const named = await call(`/preview/${link.token}/${PORT}/sandbox-id`)
    expect(await named.json()).toBe(own.sandbox.id)
    await own.sandbox.expireSignedPreviewUrl(PORT, link.token)
    expect((await askPreview(link.url)).statusCode).toBe(404)
  })

  it('is what the routes for proxies say', async () => {
    const { token } = await own.sandbox.getPreviewLink(PORT)
    const statuses = async (paths: string[]) => Promise.all(paths.map(async (path) => (await call(path)).status))
    const before = `/preview/${own.sandbox.id}`
    expect(
      await statuses([`${before}/public`, `${before}/validate/${token}`, `${before}/validate/x`, `${before}/access`]),
    ).toEqual([404, 200, 404, 200])
    expect(await (await call(`${before}/preview-warning`)).json()).toEqual({ enabled: false })
  })
})

describe('a preview in Chromium', () => {
  async function open(url: string, name: string) {
    if (browser === undefined) throw new Error('no browser')
    const page = await newPage(browser)
    const answer = await page.goto(url)
    const shot = async () => {
      if (shotsDir === undefined) return
      mkdirSync(shotsDir, { recursive: true })
      await page.screenshot({ path: join(shotsDir, `${name}.png`) })
    }
    return { page, status: answer?.status(), shot }
  }

  it('works as on the own machine: page, upload, events, WebSocket, by cookie', async ({ skip }) => {
    if (browser === undefined) return skip(`no ${CHROMIUM} here`)
    const { url, token } = await own.sandbox.getPreviewLink(PORT)
    const { page, status, shot } = await open(`${url}/?DAYTONA_SANDBOX_AUTH_KEY=${token}`, 'dev-server')
    expect([status, page.url()]).toEqual([200, `${url}/`])
    await page.getByText('event 1', { exact: true }).waitFor()
    await page.getByText('socket PING').waitFor()
    await page.getByText('upload 100000').waitFor()
    await shot()
    const cookies = await page.context().cookies()
    expect(cookies.map(({ name, httpOnly, domain }) => [name.replace(own.sandbox.id, 'ID'), httpOnly, domain])).toEqual(
      expect.arrayContaining([
        ['daytona-sandbox-auth-ID', true, new URL(url).hostname],
        ['own', false, new URL(url).hostname],
      ]),
    )
    expect(await page.evaluate('document.cookie')).toBe('own=1')
    await page.close()
  })

  it('says clearly why there is none', async ({ skip }) => {
    if (browser === undefined) return skip(`no ${CHROMIUM} here`)
    const { url, token } = await own.sandbox.getPreviewLink(PORT)
    const silent = await own.sandbox.getPreviewLink(4321)
    const unknown = url.replace(own.sandbox.id, '00000000-0000-4000-8000-000000000000')
    const stopped = await sdk23().create()
    const link = await stopped.getPreviewLink(PORT)
    await stopped.stop()
    const pages: [string, string, number, string][] = [
      [unknown, 'unknown', 404, 'This sandbox does not exist'],
      [url.replace(own.sandbox.id, 'abcdefgh01234567'), 'expired-link', 404, 'This link has expired'],
      [url.replace(/\d+-[^.]+/, 'app'), 'no-address', 404, 'No preview here'],
      [url, 'private', 401, 'This preview is private'],
      [`${url}/?DAYTONA_SANDBOX_AUTH_KEY=${token}x`, 'wrong-token', 401, 'This token is not valid'],
      [`${silent.url}/?DAYTONA_SANDBOX_AUTH_KEY=${token}`, 'nothing-listens', 502, 'Nothing listens on port 4321'],
      [`${link.url}/?DAYTONA_SANDBOX_AUTH_KEY=${link.token}`, 'not-running', 503, 'This sandbox is not running'],
    ]
    for (const [address, name, expected, heading] of pages) {
      const { page, status, shot } = await open(address, name)
      expect([status, await page.locator('h1').textContent()]).toEqual([expected, heading])
      await shot()
      await page.close()
    }
    await stopped.delete()
  })
})
