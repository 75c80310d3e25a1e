import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BufferedResponse } from '@atoll/tunnel'
import type { ChannelClient, ChannelFront } from './channel-client.ts'
import { startChannelFront } from './channel-client.ts'
import type { TestToolbox } from './test-toolbox.ts'
import { bodyOf, createTestToolbox } from './test-toolbox.ts'

const CONNECTED = '{"type":"control","status":"connected"}'
const POLL_MS = 10

/** Terminals of a test toolbox, with plain shells. */
export interface TestPtys extends AsyncDisposable {
  readonly toolbox: TestToolbox
  readonly front: ChannelFront
  create(json: Record<string, unknown>): Promise<BufferedResponse>
  describe(id: string): Promise<Record<string, unknown>>
  kill(id: string): Promise<BufferedResponse>
  resize(id: string, size: { cols: number; rows: number }): Promise<BufferedResponse>
  /** Returns a client of a terminal that was told that it is connected. */
  attach(id: string, subprotocols?: string[]): Promise<ChannelClient>
  /** Creates a terminal and attaches to it. */
  open(id: string, json?: Record<string, unknown>): Promise<ChannelClient>
  /** Returns the number that a command in the terminal writes to a file of the work directory. */
  numberIn(name: string): Promise<number>
}

export async function createTestPtys(): Promise<TestPtys> {
  const toolbox = await createTestToolbox({ SHELL: '/bin/bash', FROM_TOOLBOX: 'yes' })
  await writeFile(join(toolbox.folder, '.bash_profile'), 'PS1="> "; export LOGIN=yes\n')
  await writeFile(join(toolbox.folder, '.inputrc'), 'set enable-bracketed-paste off\n')
  const front = await startChannelFront(toolbox.peer)
  const create = (json: Record<string, unknown>) => toolbox.call('POST', '/process/pty', { json })
  async function attach(id: string, subprotocols: string[] = []): Promise<ChannelClient> {
    const client = await front.connect(`/process/pty/${id}/connect`, { subprotocols })
    const first = await client.next()
    if (first !== CONNECTED) throw new Error(`not connected: ${first}`)
    return client
  }
  return {
    toolbox,
    front,
    create,
    describe: async (id) => bodyOf(await toolbox.call('GET', `/process/pty/${id}`)),
    kill: (id) => toolbox.call('DELETE', `/process/pty/${id}`),
    resize: (id, size) => toolbox.call('POST', `/process/pty/${id}/resize`, { json: size }),
    attach,
    async open(id, json = {}) {
      const { status } = await create({ id, ...json })
      if (status !== 201) throw new Error(`no terminal: ${status}`)
      return attach(id)
    },
    async numberIn(name) {
      for (;;) {
        const text = await readFile(join(toolbox.folder, name), 'utf8').catch(() => '')
        if (text.endsWith('\n')) return Number(text)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      }
    },
    async [Symbol.asyncDispose]() {
      await front[Symbol.asyncDispose]()
      await toolbox[Symbol.asyncDispose]()
    },
  }
}

/** Types a line, which must not contain the words that a test waits for, because the terminal echoes it. */
export function typeLine(client: ChannelClient, line: string): void {
  client.socket.send(Buffer.from(`${line}\r`))
}

/** Takes messages until one contains the words; for output too long for `until`. */
export async function takeUntil(client: ChannelClient, words: string): Promise<void> {
  while (!(await client.next()).toString().includes(words));
}

/** Returns the end of the output that has arrived and was not taken. */
export function endOf(client: ChannelClient): string {
  return Buffer.concat(client.messages.map((message) => Buffer.from(message)))
    .toString()
    .slice(-17)
}
