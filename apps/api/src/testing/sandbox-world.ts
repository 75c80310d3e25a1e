import { randomUUID } from 'node:crypto'
import type { Sandbox } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { createLogger } from '@atoll/service'
import type { Config, Secrets } from '../config.ts'
import { ScriptedRunner } from './scripted-runner.ts'
import type { NewPrincipal, TestApi, TestPrincipal } from './test-api.ts'
import { createTestApi } from './test-api.ts'
import { until } from './until.ts'

export interface Answer {
  status: number
  headers: Headers
  /** Parsed when it is JSON. */
  body: unknown
}

/** The whole API, listening, with a scripted runner and a principal who may do everything. */
export interface SandboxWorld extends AsyncDisposable {
  readonly url: string
  readonly api: TestApi
  readonly runner: ScriptedRunner
  readonly runnerToken: string
  readonly principal: TestPrincipal
  /** Calls the API as the principal, or as another. */
  call(method: string, path: string, options?: { body?: unknown; as?: TestPrincipal }): Promise<Answer>
  /** Creates a started sandbox. */
  create(body?: object): Promise<Sandbox>
  /** Returns the sandbox as GET shows it. */
  get(id: string): Promise<Sandbox>
  untilState(id: string, state: string): Promise<void>
  /** Resolves when the runner may be given work. */
  untilRunnerReady(): Promise<void>
  createPrincipal(options?: NewPrincipal): Promise<TestPrincipal>
}

/** Creates a world. The caller disposes it. */
export async function createSandboxWorld(
  options: { log?: Logger; config?: Partial<Config>; secrets?: Partial<Secrets> } = {},
): Promise<SandboxWorld> {
  const token = randomUUID()
  const log = options.log ?? createLogger('test-api', process.env['TEST_LOG_LEVEL'] ?? 'silent')
  const api = await createTestApi({
    config: options.config ?? {},
    secrets: { ...options.secrets, runnerToken: token },
    log,
  })
  const url = await api.listen()
  const principal = await api.createPrincipal()
  const runner = new ScriptedRunner({ url, token })

  const call: SandboxWorld['call'] = async (method, path, { body, as = principal } = {}) => {
    const json = body === undefined ? {} : { body: JSON.stringify(body) }
    const headers = { ...as.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const response = await fetch(`${url}/api${path}`, { method, headers, ...json })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== ''
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }
  const expectSandbox = async (answer: Promise<Answer>): Promise<Sandbox> => {
    const { status, body } = await answer
    if (status !== 200) throw new Error(`status ${status}: ${JSON.stringify(body)}`)
    return body as Sandbox
  }
  const world: SandboxWorld = {
    ...{ url, api, runner, runnerToken: token, principal, call, createPrincipal: api.createPrincipal },
    create: (body = {}) => expectSandbox(call('POST', '/sandbox', { body })),
    get: (id) => expectSandbox(call('GET', `/sandbox/${id}`)),
    untilState: (id, state) => until(`${id} is ${state}`, async () => (await world.get(id)).state === state),
    untilRunnerReady: () =>
      until('the runner is ready', async () => {
        const rows = await api.database.sql`select 1 from runners where last_seen_at is not null`
        return rows.length > 0
      }),
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]()
      await api[Symbol.asyncDispose]()
    },
  }
  await runner.connect()
  await world.untilRunnerReady()
  return world
}
