import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { eventually, within } from './testing/eventually.ts'
import { sdk218, sharedSystem } from './testing/shared-system.ts'

/** The longest run of the script, most of it to load the SDK on a busy machine; by polling alone it would never end. */
const ENDS_WITHIN_MS = 60_000

/** The longest delay of an event, unless it came before the client listened. */
const HEARD_WITHIN_MS = 2_000

const SCRIPT = `
import { Daytona } from 'daytona-sdk-0-218'
const daytona = new Daytona({ apiKey: process.env.KEY, apiUrl: process.env.URL, target: 'us' })
const sandbox = await daytona.create()
console.log(sandbox.id, sandbox.state)
`

async function listeners(): Promise<number> {
  const text = await (await fetch(`${sharedSystem().url}/metrics`)).text()
  return Number(/^atoll_event_listeners (\d+)$/m.exec(text)?.[1])
}

describe('SDK 0.218', () => {
  it('listens to events, and is told of what others do', async () => {
    await using daytona = sdk218()
    const sandbox = await daytona.create()
    await eventually('it listens', async () => (await listeners()) > 0)
    await using other = sdk218()
    const seen = await other.get(sandbox.id)
    // The first client sends no requests: only the event changes its object. It misses events from before it listens, and
    // nothing shows when it does, so the stop is repeated until it is seen.
    await eventually('it has heard of a stop', async () => {
      if (seen.state === 'stopped') await seen.start()
      await seen.stop()
      return await within(HEARD_WITHIN_MS, () => sandbox.state === 'stopped')
    })
    await seen.delete()
    await eventually('it has heard of the deletion', async () => String(sandbox.state) === 'destroyed')
  })

  it('lets a script end that neither deletes its sandbox nor disposes its client', {
    timeout: 2 * ENDS_WITHIN_MS,
  }, async () => {
    const { url, apiKey } = sharedSystem()
    const script = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT], {
      cwd: import.meta.dirname,
      env: { ...process.env, KEY: apiKey, URL: `${url}/api` },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    script.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    const timer = setTimeout(() => script.kill('SIGKILL'), ENDS_WITHIN_MS)
    const [status] = await once(script, 'exit')
    clearTimeout(timer)
    expect([status, output]).toEqual([0, expect.stringMatching(/ started\n$/)])
    await using daytona = sdk218()
    const sandbox = await daytona.get(output.split(' ')[0] ?? '')
    await sandbox.delete()
  })
})
