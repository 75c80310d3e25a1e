import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ChannelClient, ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'
import { MAX_RESTARTS } from './language-server.ts'
import { MAX_LANGUAGE_SERVERS } from './server-registry.ts'

let toolbox: TestToolbox
let front: ChannelFront

/** Starts a toolbox whose PATH has a server that does what a test asks of it. */
async function start(env: Record<string, string> = {}): Promise<void> {
  toolbox = await createTestToolbox(env)
  front = await startChannelFront(toolbox.peer)
  await mkdir(join(toolbox.folder, 'bin'))
  const program = join(toolbox.folder, 'bin/typescript-language-server')
  await copyFile(join(import.meta.dirname, 'testing/scripted-server.mjs'), program)
  await chmod(program, 0o755)
  await symlink(process.execPath, join(toolbox.folder, 'bin/node'))
  await toolbox.call('POST', '/env', { json: { set: { PATH: `${toolbox.folder}/bin:${dirname('/bin/sh')}` } } })
  await mkdir(join(toolbox.folder, 'app'))
}

beforeEach(() => start())
afterEach(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
})

const project = { languageId: 'typescript', pathToProject: 'app' }
const post = (path: string, json: object) => toolbox.call('POST', `/lsp/${path}`, { json })
const connect = (pathToProject = 'app') =>
  front.connect(`/lsp/connect?languageId=typescript&pathToProject=${encodeURIComponent(pathToProject)}`)

let lastId = 0
async function ask(client: ChannelClient, method: string, params: unknown = {}): Promise<Record<string, unknown>> {
  lastId += 1
  const id = lastId
  client.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
  for (;;) {
    const message = JSON.parse(String(await client.next()))
    if (message.id === id) return message
  }
}
const tell = (client: ChannelClient, method: string, params: unknown = {}) =>
  client.socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }))

async function told(client: ChannelClient, method: string): Promise<Record<string, unknown>> {
  for (;;) {
    const message = JSON.parse(String(await client.next()))
    if (message.method === method) return message.params
  }
}

describe('a language server', () => {
  it('is started once for a language and a project, whatever its path is called', async () => {
    expect(await post('start', project)).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    const editor = await connect(`${toolbox.folder}/app/`)
    const { result } = await ask(editor, 'test/pid')
    expect(await post('start', { languageId: 'javascript', pathToProject: 'app' })).toMatchObject({ status: 200 })
    expect((await ask(await connect(), 'test/pid'))['result']).toBe(result)
  })

  it('is another one for another project', async () => {
    await mkdir(join(toolbox.folder, 'other'))
    const first = (await ask(await connect(), 'test/pid'))['result']
    expect((await ask(await connect('other'), 'test/pid'))['result']).not.toBe(first)
  })

  it('is stopped, and its editors are told', async () => {
    const editor = await connect()
    expect(await post('stop', project)).toMatchObject({ status: 200 })
    expect(await editor.closed).toEqual({ code: 1001, reason: 'the language server was stopped' })
    expect(bodyOf(await post('stop', project))).toMatchObject({ statusCode: 404 })
    expect(bodyOf(await post('did-close', { ...project, uri: 'file://x.ts' }))).toMatchObject({
      statusCode: 400,
      code: 'LSP_SERVER_NOT_INITIALIZED',
      message: 'server not initialized',
    })
  })

  it('is refused for a language without one, a project that is no folder, and past the bound', async () => {
    expect(bodyOf(await post('start', { ...project, languageId: 'cobol' }))).toMatchObject({ statusCode: 400 })
    expect(bodyOf(await post('start', { ...project, pathToProject: 'nowhere' }))).toMatchObject({
      code: 'FILE_NOT_FOUND',
    })
    for (let index = 0; index <= MAX_LANGUAGE_SERVERS; index += 1) {
      await mkdir(join(toolbox.folder, `p${index}`))
      const { status } = await post('start', { ...project, pathToProject: `p${index}` })
      expect(status).toBe(index < MAX_LANGUAGE_SERVERS ? 200 : 429)
    }
  })

  it('that is not installed is an error that says how to install it', async () => {
    const response = await post('start', { languageId: 'python', pathToProject: 'app' })
    expect(bodyOf(response)).toMatchObject({
      statusCode: 500,
      code: 'LSP_SERVER_NOT_INSTALLED',
      message: expect.stringContaining('npm install --global pyright'),
    })
    await expect(front.connect('/lsp/connect?languageId=python&pathToProject=app')).rejects.toThrow('500')
  })

  it('that ends at its start is reported with its last words', async () => {
    await toolbox.call('POST', '/env', { json: { set: { SCRIPTED_END_AT_START: '1' } } })
    expect(bodyOf(await post('start', project))).toMatchObject({
      code: 'LSP_SERVER_CRASHED',
      message: expect.stringContaining('cannot start today'),
    })
  })

  it('that crashes is started again with the documents that are open, and editors are told', async () => {
    await writeFile(join(toolbox.folder, 'app/rest.ts'), 'from disk')
    const editor = await connect()
    const before = (await ask(editor, 'test/pid'))['result']
    expect(await post('did-open', { ...project, uri: 'file://rest.ts' })).toMatchObject({ status: 200 })
    tell(editor, 'textDocument/didOpen', {
      textDocument: { uri: 'file:///e.ts', languageId: 'typescript', text: 'abc' },
    })
    tell(editor, 'textDocument/didChange', {
      textDocument: { uri: 'file:///e.ts' },
      contentChanges: [{ range: { start: { line: 0, character: 1 }, end: { line: 0, character: 2 } }, text: 'XX' }],
    })
    tell(editor, 'test/die')
    expect(await told(editor, 'window/showMessage')).toMatchObject({
      message: expect.stringContaining('started again'),
    })
    expect((await ask(editor, 'test/pid'))['result']).not.toBe(before)
    expect((await ask(editor, 'test/documents'))['result']).toEqual({
      [`file://${toolbox.folder}/app/rest.ts`]: { version: 1, text: 'from disk' },
      'file:///e.ts': { version: 2, text: 'aXXc' },
    })
  })

  it('that crashes again and again is given up, until it is started anew', async () => {
    const editor = await connect()
    for (let crash = 0; crash < MAX_RESTARTS; crash += 1) {
      tell(editor, 'test/die')
      await told(editor, 'window/showMessage')
    }
    tell(editor, 'test/die')
    expect((await editor.closed).code).toBe(1011)
    const query = { ...project, query: 'x' }
    expect(bodyOf(await toolbox.call('GET', '/lsp/workspace-symbols', { query }))).toMatchObject({
      code: 'LSP_SERVER_CRASHED',
    })
    expect(await post('start', project)).toMatchObject({ status: 200 })
    expect(await toolbox.call('GET', '/lsp/workspacesymbols', { query })).toMatchObject({ status: 200 })
  })

  it('that breaks its own stream is ended and started again', async () => {
    const editor = await connect()
    tell(editor, 'test/garbage')
    tell(editor, 'test/tell', { after: 'garbage' })
    await told(editor, 'window/showMessage')
    expect(await ask(editor, 'test/pid')).toMatchObject({ result: expect.any(Number) })
  })
})

describe('an editor', () => {
  it('is answered by the shared server as it answers', async () => {
    const editor = await connect()
    expect(await ask(editor, 'initialize')).toMatchObject({ result: { capabilities: { scripted: true } } })
    tell(editor, 'initialized')
    expect(await ask(editor, 'test/fail')).toMatchObject({
      error: { code: -32001, message: 'on purpose', data: { a: 1 } },
    })
    expect(await ask(editor, 'test/unknown')).toMatchObject({ error: { code: -32601 } })
    tell(editor, 'test/tell', { a: 1 })
    expect(await told(editor, 'test/told')).toEqual({ a: 1 })
  })

  it('leaves with shutdown and exit, and the others stay', async () => {
    const [leaver, stayer] = [await connect(), await connect()]
    const { result } = await ask(stayer, 'test/pid')
    expect(await ask(leaver, 'shutdown')).toMatchObject({ result: null })
    tell(leaver, 'exit')
    expect((await leaver.closed).code).toBe(1000)
    expect((await ask(stayer, 'test/pid'))['result']).toBe(result)
  })

  it('may cancel a request, and use the ids that another one uses', async () => {
    const [one, other] = [await connect(), await connect()]
    one.socket.send(JSON.stringify({ jsonrpc: '2.0', id: 'same', method: 'test/hang' }))
    other.socket.send(JSON.stringify({ jsonrpc: '2.0', id: 'same', method: 'test/pid' }))
    expect(JSON.parse(String(await other.next()))).toMatchObject({ id: 'same', result: expect.any(Number) })
    tell(one, '$/cancelRequest', { id: 'same' })
    expect(JSON.parse(String(await one.next()))).toMatchObject({ id: 'same', error: { code: -32800 } })
  })

  it('that opens what another one has open gives the server its own text, and closes it only for itself', async () => {
    const [one, other] = [await connect(), await connect()]
    const open = (editor: ChannelClient, text: string) =>
      tell(editor, 'textDocument/didOpen', { textDocument: { uri: 'file:///a.ts', languageId: 'typescript', text } })
    open(one, 'first')
    expect((await ask(one, 'test/documents'))['result']).toEqual({ 'file:///a.ts': { version: 1, text: 'first' } })
    open(other, 'second')
    expect((await ask(other, 'test/documents'))['result']).toEqual({
      'file:///a.ts': { version: 2, changes: [{ text: 'second' }] },
    })
    tell(one, 'textDocument/didChange', {
      textDocument: { uri: 'file:///a.ts' },
      contentChanges: [{ range: { start: { line: 0, character: 0 }, end: { line: 0, character: 1 } }, text: 'F' }],
    })
    expect((await ask(one, 'test/documents'))['result']).toEqual({
      'file:///a.ts': { version: 3, changes: [{ text: 'First' }] },
    })
    one.socket.terminate()
    tell(other, 'textDocument/didClose', { textDocument: { uri: 'file:///a.ts' } })
    expect((await ask(await connect(), 'test/documents'))['result']).toEqual({})
  })

  it.each([
    ['{', -32700],
    ['[]', -32600],
    ['null', -32600],
    ['{"id":1,"method":"x"}', -32600],
    ['{"jsonrpc":"2.0","id":{},"method":"x"}', -32600],
    ['{"jsonrpc":"2.0","id":1,"method":7}', -32600],
  ])('that sends %s is told what is wrong, and nothing else happens', async (text, code) => {
    const editor = await connect()
    editor.socket.send(text)
    expect(JSON.parse(String(await editor.next()))).toMatchObject({ id: null, error: { code } })
    expect(await ask(editor, 'test/pid')).toMatchObject({ result: expect.any(Number) })
  })

  it('that sends odd notifications does no harm', async () => {
    const editor = await connect()
    for (const method of [
      'textDocument/didOpen',
      'textDocument/didChange',
      'textDocument/didClose',
      '$/cancelRequest',
    ]) {
      for (const params of [
        null,
        [],
        7,
        { textDocument: 7 },
        { textDocument: { uri: 'x' }, contentChanges: [null, { range: 1 }] },
      ]) {
        tell(editor, method, params)
      }
    }
    tell(editor, 'textDocument/didOpen', { textDocument: { uri: 'file:///big.ts', text: 'x'.repeat(3_000_000) } })
    expect(await ask(editor, 'test/pid')).toMatchObject({ result: expect.any(Number) })
  })
})
