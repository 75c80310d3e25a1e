import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import type { AnySandbox } from './in-sandbox.ts'
import { shell, writeFileIn } from './in-sandbox.ts'

/** Starts `dev-server.mjs` in a sandbox, and resolves when it listens. */
export async function startDevServer(sandbox: AnySandbox, port: number): Promise<void> {
  await writeFileIn(sandbox, '/tmp/dev.mjs', readFileSync(join(import.meta.dirname, 'dev-server.mjs'), 'utf8'))
  await shell(sandbox, `nohup /opt/atoll/bin/node /tmp/dev.mjs ${port} >/tmp/dev.log 2>&1 </dev/null & echo started`)
  await eventually('the server listens', async () =>
    (await shell(sandbox, 'cat /tmp/dev.log 2>/dev/null || true')).includes('listening'),
  )
}

/**
 * Requests a preview's URL from 127.0.0.1, because a resolver may not know names below localhost. The connection is a new one:
 * an SDK's HTTP client leaves a timeout of five seconds on those that it gives back to the global agent.
 */
export function askPreview(url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const { host, port, pathname, search } = new URL(url)
  return new Promise((resolve, reject) => {
    const target = { host: '127.0.0.1', port, path: pathname + search, agent: false } as const
    const asked = request({ ...target, headers: { host, ...headers } })
    asked.once('response', resolve).once('error', reject).end()
  })
}
