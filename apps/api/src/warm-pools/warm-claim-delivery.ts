import { setTimeout as delay } from 'node:timers/promises'
import { AppError, CLAIM_METHOD } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import { requestBuffered } from '@atoll/tunnel'
import type { RecurringWork } from '../recurring-work.ts'
import { createRecurringWork } from '../recurring-work.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { WarmClaimStore } from './warm-claim-store.ts'

/** The time in which a toolbox must answer a claim, in milliseconds. A toolbox waits for nothing that it starts then. */
const CLAIM_TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 64 * 1024
const CLAIMED = 204

/**
 * The delay from a toolbox's answer until it is recorded, in milliseconds, because the sandbox's first calls come
 * first.
 */
const WRITE_DELAY_MS = 250

/** The interval of the look for claims that a dead replica has not delivered, in milliseconds. */
const LOOK_INTERVAL_MS = 1_000
/** The most such claims in one look. */
const MAX_PENDING = 100

export interface WarmClaimDeliveryOptions {
  store: Pick<WarmClaimStore, 'pending' | 'findPending' | 'setDelivered'>
  tunnels: Pick<ToolboxTunnels, 'get'>
  runners: Pick<RunnerService, 'readyIds'>
  changes: Pick<SandboxChanges, 'emit'>
  log: Logger
}

/**
 * Tells the toolboxes of claimed sandboxes their variables (W5): at once, or at the next look if that was interrupted.
 * Telling a toolbox twice does nothing.
 */
export interface WarmClaimDelivery extends AsyncDisposable {
  start(): void
  /** Begins the delivery of a new claim. */
  begin(row: SandboxRow): void
  /** Resolves once the toolbox knows. Throws TOOLBOX_UNREACHABLE. */
  finish(sandboxId: string): Promise<void>
}

export function createWarmClaimDelivery(options: WarmClaimDeliveryOptions): WarmClaimDelivery {
  const { store, tunnels, log } = options
  const underWay = new Map<string, Promise<void>>()
  /** Writes that record that a toolbox knows its claim, while they are under way; by sandbox. */
  const writing = new Map<string, Promise<void>>()
  const closing = new AbortController()
  const looking: RecurringWork = createRecurringWork({
    ...{ name: 'the look for claims', everyMs: LOOK_INTERVAL_MS, work: look, log },
  })

  /** Delivers one claim of a sandbox at a time: a second caller waits for the same delivery. */
  function deliver(id: string, known?: SandboxRow): Promise<void> {
    const running = underWay.get(id)
    if (running !== undefined) return running
    if (writing.has(id)) return Promise.resolve()
    const delivery = tell(id, known).finally(() => underWay.delete(id))
    underWay.set(id, delivery)
    return delivery
  }

  async function tell(id: string, known: SandboxRow | undefined): Promise<void> {
    const row = known ?? (await store.findPending(id))
    if (row === undefined) return
    const peer = tunnels.get(id)
    if (peer === undefined || peer.closed) throw unreachable(id)
    await claim(peer, row)
    // No call waits until the row says so.
    writing.set(
      id,
      write(id).finally(() => writing.delete(id)),
    )
  }

  async function write(id: string): Promise<void> {
    try {
      await delay(WRITE_DELAY_MS, undefined, { signal: closing.signal }).catch(() => undefined)
      const delivered = await store.setDelivered(id)
      // A cache that holds the claim as pending reads the row again.
      if (delivered !== undefined) options.changes.emit(delivered, delivered)
    } catch (error) {
      log.warn({ err: error, sandboxId: id }, 'a claim is not written down yet')
    }
  }

  async function claim(peer: TunnelPeer, { id, env }: SandboxRow): Promise<void> {
    const request = {
      ...{ method: CLAIM_METHOD, path: '/', body: JSON.stringify({ env }) },
      headers: { 'content-type': 'application/json' },
    }
    const limits = { timeoutMs: CLAIM_TIMEOUT_MS, maxResponseBytes: MAX_ANSWER_BYTES }
    const answer = await requestBuffered(peer, request, limits).catch((error: unknown) => {
      log.info({ err: error, sandboxId: id }, 'a claim did not reach its toolbox')
      throw unreachable(id)
    })
    if (answer.status === CLAIMED) return
    log.error({ sandboxId: id, status: answer.status }, 'a toolbox refuses its claim')
    throw unreachable(id)
  }

  async function look(signal: AbortSignal): Promise<void> {
    for (const id of await store.pending(options.runners.readyIds(), MAX_PENDING)) {
      if (signal.aborted) return
      await deliver(id).catch((error: unknown) => {
        log.info({ err: error, sandboxId: id }, 'a claim cannot be delivered yet')
      })
    }
  }

  return {
    start: () => looking.start(),
    begin(row) {
      // The next look or the first call of the sandbox tries again.
      deliver(row.id, row).catch((error: unknown) => {
        log.info({ err: error, sandboxId: row.id }, 'a claim was not delivered at once')
      })
    },
    finish: (sandboxId) => deliver(sandboxId),
    async [Symbol.asyncDispose]() {
      await looking[Symbol.asyncDispose]()
      await Promise.allSettled(underWay.values())
      closing.abort()
      await Promise.all(writing.values())
    },
  }
}

function unreachable(id: string): AppError {
  return new AppError('TOOLBOX_UNREACHABLE', `The toolbox of sandbox ${id} is not connected`)
}
