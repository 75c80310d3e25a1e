import type { ErrorBody, Snapshot } from '@atoll/protocol'
import type { Answer, SandboxWorld } from './sandbox-world.ts'
import { until } from './until.ts'

/** Returns calls about snapshots, as the principal of the world unless another is named. `world` is asked at each call. */
export function snapshotCalls(world: () => SandboxWorld) {
  let count = 0
  const newName = () => `team/app:${++count}`

  /** Begins a snapshot of an image, unless `body` has something else. */
  async function create(body: object = {}, as = world().principal): Promise<Snapshot> {
    const whole = { name: newName(), imageName: 'debian:12', ...body }
    const answer = await world().call('POST', '/snapshots', { as, body: whole })
    if (answer.status !== 200) throw new Error(`status ${answer.status}: ${messageOf(answer)}`)
    return answer.body as Snapshot
  }

  async function get(id: string, as = world().principal): Promise<Snapshot> {
    return (await world().call('GET', `/snapshots/${encodeURIComponent(id)}`, { as })).body as Snapshot
  }

  function untilState(id: string, state: string, as = world().principal): Promise<void> {
    return until(`${id} is ${state}`, async () => (await get(id, as)).state === state)
  }

  async function active(body: object = {}, as = world().principal): Promise<Snapshot> {
    const { id } = await create(body, as)
    await untilState(id, 'active', as)
    return await get(id, as)
  }

  return { newName, create, get, untilState, active }
}

/** Returns the message of an error answer. */
export function messageOf({ body }: Answer): string {
  return (body as ErrorBody).message
}
