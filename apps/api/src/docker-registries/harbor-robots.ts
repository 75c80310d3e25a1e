import { randomBytes } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { DockerRegistryRow } from './docker-registry-table.ts'

/** The lifetime of push credentials. */
const PUSH_ACCESS_MS = 60 * 60 * 1000

/** The longest time for one call of a registry. */
const CALL_DEADLINE_MS = 10_000
const MAX_ANSWER_BYTES = 1024 * 1024
/** The most robots read when the expired ones are removed. */
const MAX_LISTED_ROBOTS = 100
/** Harbor counts a robot's life in days, so this server itself ends it after an hour. */
const ROBOT_LIFE_DAYS = 1
/** `atoll-<seconds since the epoch when it ends>-<random>`. */
const OUR_ROBOT = /(?:^|[+$])atoll-(\d{1,12})-[0-9a-f]+$/

const NewRobot = Type.Object({ name: Type.String({ minLength: 1 }), secret: Type.String({ minLength: 1 }) })
const Robots = Type.Array(Type.Object({ id: Type.Integer(), name: Type.String() }))
const Project = Type.Object({ project_id: Type.Integer() })

export type PushTarget = Pick<DockerRegistryRow, 'name' | 'url' | 'username' | 'project'>

export interface PushCredentials {
  username: string
  secret: string
  /** The time in ISO 8601. */
  expiresAt: string
}

export interface HarborRobots {
  /**
   * Makes a robot account that may push to and pull from the registry's project for PUSH_ACCESS_MS. Throws
   * REGISTRY_PUSH_UNAVAILABLE for a registry without a project or that is no Harbor, and BAD_GATEWAY.
   */
  issue(target: PushTarget, password: string): Promise<PushCredentials>
  /** Removes this server's robots whose hour is over; ends early when the signal aborts. Throws the errors of `issue`. */
  removeExpired(target: PushTarget, password: string, signal: AbortSignal): Promise<void>
}

/** Makes short-lived push credentials in Harbor; the plain registry protocol cannot make any. */
export function createHarborRobots({ now }: { now: () => number }): HarborRobots {
  return {
    async issue(target, password) {
      if (target.project === '') throw unavailable(target, 'has no project')
      const expiresAt = now() + PUSH_ACCESS_MS
      const name = `atoll-${Math.ceil(expiresAt / 1_000)}-${randomBytes(6).toString('hex')}`
      const access = ['push', 'pull'].map((action) => ({ resource: 'repository', action }))
      const body = {
        ...{ name, description: 'Push access handed out by Atoll', level: 'project', disable: false },
        ...{ duration: ROBOT_LIFE_DAYS, permissions: [{ kind: 'project', namespace: target.project, access }] },
      }
      const robot = await call({ target, password, method: 'POST', path: '/robots', body })
      if (!Value.Check(NewRobot, robot)) throw unavailable(target, 'is no Harbor')
      return { username: robot.name, secret: robot.secret, expiresAt: new Date(expiresAt).toISOString() }
    },
    async removeExpired(target, password, signal) {
      if (target.project === '') return
      const path = `/projects/${encodeURIComponent(target.project)}`
      const project = await call({ target, password, method: 'GET', path, signal })
      if (!Value.Check(Project, project)) throw unavailable(target, 'is no Harbor')
      const query = new URLSearchParams({
        q: `Level=project,ProjectID=${project.project_id}`,
        sort: 'creation_time',
        page_size: String(MAX_LISTED_ROBOTS),
      })
      const robots = await call({ target, password, method: 'GET', path: `/robots?${query}`, signal })
      if (!Value.Check(Robots, robots)) throw unavailable(target, 'is no Harbor')
      for (const { id, name } of robots) {
        const endsAt = OUR_ROBOT.exec(name)?.[1]
        if (endsAt === undefined || Number(endsAt) * 1_000 > now()) continue
        await call({ target, password, method: 'DELETE', path: `/robots/${id}`, signal })
      }
    },
  }
}

interface Call {
  target: PushTarget
  password: string
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: object
  signal?: AbortSignal
}

/** Returns the parsed body; undefined for an empty one. */
async function call({ target, password, method, path, body, signal }: Call): Promise<unknown> {
  const base = /^https?:\/\//.test(target.url) ? target.url : `https://${target.url}`
  const authorization = `Basic ${Buffer.from(`${target.username}:${password}`).toString('base64')}`
  const deadline = AbortSignal.timeout(CALL_DEADLINE_MS)
  try {
    const response = await fetch(`${new URL(base).origin}/api/v2.0${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json', accept: 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    })
    const text = await readText(response)
    if (response.status === 404 && method === 'POST') throw unavailable(target, 'is no Harbor')
    if (!response.ok) throw badGateway(target, `answered ${response.status}`)
    return parse(text)
  } catch (error) {
    if (error instanceof AppError) throw error
    throw badGateway(target, 'cannot be reached', error)
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Returns undefined for a text that is no JSON, as for an empty answer; no check accepts it. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unavailable({ name }: PushTarget, why: string): AppError {
  return new AppError(
    'REGISTRY_PUSH_UNAVAILABLE',
    `Images cannot be pushed: the transient registry ${name} ${why}, so it cannot give credentials for an hour`,
  )
}

function badGateway({ name }: PushTarget, what: string, cause?: unknown): AppError {
  return new AppError('BAD_GATEWAY', `The transient registry ${name} ${what}`, { cause })
}
