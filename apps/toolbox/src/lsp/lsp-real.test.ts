import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import { TOOLS_BIN } from '../testing/injected-tools.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

/** The time for programs that start cold on a busy machine. */
const START_TIMEOUT_MS = 150_000

let toolbox: TestToolbox
let front: ChannelFront
beforeAll(async () => {
  toolbox = await createTestToolbox({ PATH: `${TOOLS_BIN}:${dirname(process.execPath)}:/usr/bin:/bin` })
  front = await startChannelFront(toolbox.peer)
})
afterAll(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
})

async function file(name: string, text: string): Promise<string> {
  const path = join(toolbox.folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  return path
}
const post = (path: string, json: object) => toolbox.call('POST', `/lsp/${path}`, { json, timeoutMs: START_TIMEOUT_MS })
const names = (list: unknown) => (list as { name: string }[]).map(({ name }) => name)

describe('typescript-language-server', () => {
  const project = { languageId: 'typescript', pathToProject: 'ts' }

  it('completes, and lists the symbols of a file and of the project', async () => {
    await file('ts/tsconfig.json', '{"compilerOptions":{"strict":true},"include":["**/*.ts"]}')
    await file('ts/src/shape.ts', 'export class Shape {\n  corners = 4\n  turnAround() {}\n}\n')
    const path = await file('ts/src/a b.ts', "import { Shape } from './shape'\nconst box = new Shape()\nbox.\n")
    expect(await post('start', project)).toMatchObject({ status: 200 })
    // Newer SDKs send a relative path that is not percent-encoded.
    const uri = 'file://src/a b.ts'
    expect(await post('did-open', { ...project, uri })).toMatchObject({ status: 200 })
    const completions = bodyOf(await post('completions', { ...project, uri, position: { line: 2, character: 4 } }))
    const items = completions['items'] as { label: string; kind: number }[]
    expect(items).toContainEqual(expect.objectContaining({ label: 'turnAround', kind: 2 }))
    // Older SDKs send an absolute path.
    const query = { ...project, uri: `file://${path}` }
    const symbols = await toolbox.call('GET', '/lsp/document-symbols', { query, timeoutMs: START_TIMEOUT_MS })
    expect(JSON.parse(symbols.body.toString())).toContainEqual({
      name: 'box',
      kind: expect.any(Number),
      location: {
        uri: `file://${toolbox.folder}/ts/src/a%20b.ts`,
        range: expect.objectContaining({ start: { line: 1, character: expect.any(Number) } }),
      },
    })
    const found = await toolbox.call('GET', '/lsp/workspace-symbols', {
      query: { ...project, query: 'Shape' },
      timeoutMs: START_TIMEOUT_MS,
    })
    expect(names(JSON.parse(found.body.toString()))).toContain('Shape')
    expect(await post('did-close', { ...project, uri })).toMatchObject({ status: 200 })
  })

  it('finds symbols of a project of which no file is open', async () => {
    await file('plain/deep/one.js', 'function needleInHay() {}\n')
    const other = { languageId: 'javascript', pathToProject: join(toolbox.folder, 'plain') }
    expect(await post('start', other)).toMatchObject({ status: 200 })
    const found = await toolbox.call('GET', '/lsp/workspacesymbols', {
      query: { ...other, query: 'needle' },
      timeoutMs: START_TIMEOUT_MS,
    })
    expect(names(JSON.parse(found.body.toString()))).toContain('needleInHay')
    expect(await post('stop', other)).toMatchObject({ status: 200 })
  })

  it('tells an editor what is wrong in its text', async () => {
    await mkdir(join(toolbox.folder, 'ts'), { recursive: true })
    const editor = await front.connect(`/lsp/connect?languageId=typescript&pathToProject=${toolbox.folder}/ts`)
    const uri = `file://${toolbox.folder}/ts/unsaved.ts`
    const text = 'const n: number = "text"\n'
    const textDocument = { uri, languageId: 'typescript', version: 1, text }
    editor.socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument } }))
    for (;;) {
      const message = JSON.parse(String(await editor.next()))
      if (message.method !== 'textDocument/publishDiagnostics' || message.params.diagnostics.length === 0) continue
      if (message.params.uri !== uri) continue
      expect(message.params.diagnostics[0].message).toContain("not assignable to type 'number'")
      break
    }
  })

  it('is told of files that are not there, are folders, or are of another scheme', async () => {
    await post('start', project)
    const open = async (uri: string) => bodyOf(await post('did-open', { ...project, uri }))
    expect(await open('file://nowhere.ts')).toMatchObject({ statusCode: 404, code: 'FILE_NOT_FOUND' })
    expect(await open('file://src')).toMatchObject({ statusCode: 400, code: 'INVALID_FILE_PATH' })
    expect(await open('untitled:x')).toMatchObject({ statusCode: 400, code: 'INVALID_FILE_PATH' })
    const position = { line: 100, character: 0 }
    const { status } = await post('completions', { ...project, uri: 'file://src/shape.ts', position })
    expect([200, 500]).toContain(status)
  })
})

describe('pyright', () => {
  const project = { languageId: 'python', pathToProject: 'py' }

  it('completes, and lists the symbols of a file and of the project', async () => {
    await file('py/shape.py', 'class Shape:\n    def turn_around(self):\n        pass\n')
    await file('py/main.py', 'from shape import Shape\n\nbox = Shape()\nbox.\n')
    expect(await post('start', project)).toMatchObject({ status: 200 })
    const uri = 'file://main.py'
    const completions = bodyOf(await post('completions', { ...project, uri, position: { line: 3, character: 4 } }))
    expect(completions['items']).toContainEqual(expect.objectContaining({ label: 'turn_around' }))
    const query = { ...project, uri: 'file://shape.py' }
    const symbols = await toolbox.call('GET', '/lsp/document-symbols', { query, timeoutMs: START_TIMEOUT_MS })
    expect(names(JSON.parse(symbols.body.toString()))).toEqual(expect.arrayContaining(['Shape', 'turn_around']))
    const found = await toolbox.call('GET', '/lsp/workspace-symbols', {
      query: { ...project, query: 'Shape' },
      timeoutMs: START_TIMEOUT_MS,
    })
    expect(names(JSON.parse(found.body.toString()))).toContain('Shape')
  })
})
