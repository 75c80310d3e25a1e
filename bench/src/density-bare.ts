import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Call, type CallTimes, timeCalls } from './density-calls.ts'

/** Processes that are called in turn; another one is called alone. */
const PROCESSES = 100
/** A server that does the work of the toolbox's call and nothing else. */
const SERVER = `
const { stat } = require('node:fs/promises')
require('node:http').createServer(async (request, response) => {
  const { size, mode, mtime } = await stat('/tmp')
  response.end(JSON.stringify({ size, mode, mtime }))
}).listen(process.argv[1], () => process.send('up'))`

/**
 * Measures the same calls to bare Node processes, directly over their sockets: the machine's own cost of calling a process
 * that has not run for a while.
 */
export async function benchBareProcesses(checkout: string): Promise<CallTimes> {
  const flags: string[] = JSON.parse(await readFile(join(checkout, 'apps/toolbox/node-flags.json'), 'utf8'))
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const servers: { child: ChildProcess; socketPath: string; agent: Agent }[] = []
  try {
    for (let index = 0; index <= PROCESSES; index++) {
      const socketPath = join(folder, `${index}.sock`)
      const child = spawn(process.execPath, [...flags, '-e', SERVER, socketPath], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      servers.push({ child, socketPath, agent: new Agent({ keepAlive: true }) })
      await once(child, 'message')
    }
    const [alone, ...many] = servers.map(
      ({ socketPath, agent }): Call =>
        () =>
          ask(socketPath, agent),
    )
    if (alone === undefined) throw new Error('no process was started')
    return await timeCalls(alone, many)
  } finally {
    for (const { child, agent } of servers) {
      agent.destroy()
      child.kill('SIGKILL')
    }
    await rm(folder, { recursive: true })
  }
}

function ask(socketPath: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ socketPath, agent, path: '/' }, (response) => response.resume().once('end', resolve)).once('error', reject)
  })
}
