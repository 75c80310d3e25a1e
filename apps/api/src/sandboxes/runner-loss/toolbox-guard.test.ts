import { createLogger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../testing/until.ts'
import type { TunnelRegistry } from '../../tunnels/tunnel-registry.ts'
import { createTunnelRegistry } from '../../tunnels/tunnel-registry.ts'
import type { SandboxChange, SandboxChanges } from '../sandbox-changes.ts'
import { createSandboxChanges } from '../sandbox-changes.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import type { ToolboxGuard } from './toolbox-guard.ts'
import { createToolboxGuard } from './toolbox-guard.ts'

const ID = '7d444840-9dc0-11d1-b245-5ffdce74fad2'
const restoring: SandboxChange = { id: ID, state: 'archived', desiredState: 'started', lost: false }

let tunnels: TunnelRegistry
let changes: SandboxChanges
let guard: ToolboxGuard
let heard: () => void
/** The token's hash in the sandbox's row. */
let tokenHash: string | null
let reads: number

beforeEach(() => {
  tunnels = createTunnelRegistry()
  changes = createSandboxChanges({
    subscribe: (_channel, { onListening }) => {
      heard = () => onListening?.()
    },
  })
  tokenHash = null
  reads = 0
  guard = createToolboxGuard({
    tunnels,
    changes,
    store: {
      async findMany(ids) {
        reads += 1
        return ids.map((id) => ({ id, toolboxTokenHash: tokenHash }) as SandboxRow)
      },
    },
    log: createLogger('test', 'silent'),
  })
})
afterEach(async () => {
  await guard[Symbol.asyncDispose]()
  tunnels.close()
})

async function connect(token: string): Promise<TunnelPeer> {
  const [near, far] = createMemoryLinkPair()
  createPeer(far, { role: 'dialler' })
  const peer = createPeer(near, { role: 'listener' })
  await peer.ready
  tunnels.add({ sandboxId: ID, tokenHash: token, peer, sequence: 1 })
  return peer
}

describe('a link of a toolbox', () => {
  it.each<[string, () => void]>([
    ['its sandbox is restored elsewhere', () => changes.emit(restoring)],
    ['notifications may have been lost', () => heard()],
    ['it came about meanwhile', () => guard.check(ID)],
  ])('L6: ends when its token is no longer valid and %s', async (_what, happens) => {
    const peer = await connect('old')
    happens()
    await until('it is over', () => peer.closed)
    expect(tunnels.size).toBe(0)
  })

  it('L6: stays when its token is that of its sandbox, though the news is late', async () => {
    const peer = await connect('new')
    tokenHash = 'new'
    changes.emit(restoring)
    await until('it was looked at', () => reads === 1)
    await guard[Symbol.asyncDispose]()
    expect(peer.closed).toBe(false)
  })

  it('costs nothing where there is none, or where nothing is to end', async () => {
    changes.emit(restoring)
    await connect('old')
    changes.emit({ ...restoring, state: 'started' })
    expect([reads, guard.changesHeard]).toEqual([0, 1])
  })
})
