import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CHROMIUM, launchBrowser, newPage } from './testing/browser.ts'
import { writeFileIn } from './testing/in-sandbox.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { call, sharedSystem } from './testing/shared-system.ts'

/** The longest cold start of a language server, on a busy machine. */
const SERVER_MS = 180_000
/** The subprotocol by which SDK 0.218 sends its version from a browser, which cannot set headers. */
const VERSION = 'X-Daytona-SDK-Version~0.218.0'

const own = ownSandbox218()
let browser: Browser | undefined
let page: Page

beforeAll(async () => {
  browser = await launchBrowser()
})
afterAll(() => browser?.close())

/** Returns a channel's URL for a page, with the sandbox's own token unless another is given. */
async function channelUrl(path: string, token?: string): Promise<string> {
  const answer = await call(`/sandbox/${own.sandbox.id}/ports/1/preview-url`)
  const preview = (await answer.json()) as { token: string }
  const url = new URL(`${sharedSystem().url.replace(/^http/, 'ws')}/api/toolbox-proxy/${own.sandbox.id}${path}`)
  url.searchParams.set('DAYTONA_SANDBOX_AUTH_KEY', token ?? preview.token)
  return url.href
}

/** Opens a socket in the page, sends, and resolves once `until` was received, or the socket has closed. */
function converse(given: { url: string; protocols: string[]; send: string[]; until: string }) {
  return page.evaluate(
    ({ url, protocols, send, until }) =>
      new Promise<{ received: string; opened: boolean; code?: number; protocol: string }>((resolve) => {
        const socket = new WebSocket(url, protocols)
        socket.binaryType = 'arraybuffer'
        const decoder = new TextDecoder()
        let [received, opened] = ['', false]
        socket.onopen = () => {
          opened = true
          for (const message of send) socket.send(message)
        }
        socket.onmessage = ({ data }) => {
          received += typeof data === 'string' ? data : decoder.decode(data, { stream: true })
          if (!received.includes(until)) return
          resolve({ received, opened, protocol: socket.protocol })
          socket.close()
        }
        socket.onclose = ({ code }) => resolve({ received, opened, code, protocol: socket.protocol })
      }),
    given,
  )
}

describe('a page in Chromium', () => {
  beforeEach(async ({ skip }) => {
    if (browser === undefined) return skip(`no ${CHROMIUM} here`)
    page = await newPage(browser)
    return () => page.close()
  })

  it('types into a terminal and reads its echo', async () => {
    const body = JSON.stringify({ id: 'page' })
    const headers = { 'content-type': 'application/json' }
    const made = await call(`/toolbox-proxy/${own.sandbox.id}/process/pty`, { method: 'POST', headers, body })
    expect(made.status).toBe(201)
    const answer = await converse({
      url: await channelUrl('/process/pty/page/connect'),
      protocols: [VERSION],
      send: ['echo "page-$((6*7))"\r'],
      until: 'page-42',
    })
    expect(answer).toMatchObject({ opened: true, protocol: VERSION })
    expect(answer.received).toContain('{"type":"control","status":"connected"}')
  })

  it('is refused with a wrong token', async () => {
    const url = await channelUrl('/process/pty/page/connect', 'wrong')
    const answer = await converse({ url, protocols: [VERSION], send: [], until: 'connected' })
    expect(answer).toMatchObject({ opened: false, received: '', code: 1006 })
  })

  it('runs Python in an interpreter', { timeout: SERVER_MS }, async () => {
    const answer = await converse({
      url: await channelUrl('/process/interpreter/execute'),
      protocols: [VERSION],
      send: [JSON.stringify({ code: 'print(6 * 7)' })],
      until: 'completed',
    })
    expect(answer.received).toContain('42')
  })

  it('is told of files as they come', async () => {
    const folder = '/home/daytona/watched'
    // Files are written for as long as a slow browser may need until it listens.
    const loop = 'i=0; while [ $i -lt 1800 ]; do i=$((i+1)); echo $i >file$i; sleep 0.1; done'
    await own.sandbox.process.executeCommand(`mkdir -p ${folder} && cd ${folder} && (${loop}) >/dev/null 2>&1 &`)
    const answer = await converse({
      url: await channelUrl(`/files/watch?path=${encodeURIComponent(folder)}&recursive=true`),
      protocols: [VERSION],
      send: [],
      until: '"type":"created"',
    })
    expect(answer.received).toContain(`{"type":"ready","path":"${folder}"}`)
    expect(answer.received).toMatch(/"path":"\/home\/daytona\/watched\/file\d+","isDir":false/)
  })

  it('is told by a language server what is wrong in its text', { timeout: SERVER_MS }, async () => {
    const folder = '/home/daytona/page'
    await writeFileIn(own.sandbox, `${folder}/tsconfig.json`, '{"compilerOptions":{"strict":true}}')
    const uri = `file://${folder}/unsaved.ts`
    const text = "const six: number = 'six'\n"
    const textDocument = { uri, languageId: 'typescript', version: 1, text }
    const answer = await converse({
      url: await channelUrl(`/lsp/connect?languageId=typescript&pathToProject=${encodeURIComponent(folder)}`),
      protocols: [VERSION],
      send: [JSON.stringify({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument } })],
      until: "not assignable to type 'number'",
    })
    expect(answer).toMatchObject({ opened: true })
    expect(answer.received).toContain('textDocument/publishDiagnostics')
    expect(answer.received).toContain("not assignable to type 'number'")
  })
})
