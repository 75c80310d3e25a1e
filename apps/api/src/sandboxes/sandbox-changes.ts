import { randomUUID } from 'node:crypto'
import type { DesiredSandboxState, StoredSandboxState } from '@atoll/protocol'
import { desiredSandboxStates, storedSandboxStates } from '@atoll/protocol'
import type { DatabaseListener } from '../database/listener.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** The PostgreSQL channel on which replicas tell each other of changes. */
export const SANDBOX_CHANNEL = 'sandbox_changed'

/** How a notification says whether the sandbox's runner is lost. */
const LOST = 'lost'
const HERE = 'here'

/** The new states of a sandbox. They are only a hint: it may be late, repeated or lost. */
export interface SandboxChange {
  readonly id: string
  readonly state: StoredSandboxState
  readonly desiredState: DesiredSandboxState
  readonly lost: boolean
}

/**
 * `all`: notifications may have been lost, so anything may have changed. A change made here may come with the row as
 * it was written. Must not throw.
 */
export type ChangeHandler = (change: SandboxChange | 'all', row?: SandboxRow) => void

/** Tells this replica's loops, waiters and caches of changes made here or elsewhere. */
export interface SandboxChanges {
  /** Hands a change made here to every handler, at once, with the row as it was written. */
  emit(change: SandboxChange, row?: SandboxRow): void
  /** Returns the text to send on `SANDBOX_CHANNEL` to the other replicas, in the transaction that makes the change. */
  payload(change: SandboxChange): string
  /** Calls `handler` for every change until the function returned is called. */
  subscribe(handler: ChangeHandler): () => void
}

/** Subscribes to the channel; call it before the listener starts. */
export function createSandboxChanges(listener: Pick<DatabaseListener, 'subscribe'>): SandboxChanges {
  const origin = randomUUID()
  const handlers = new Set<ChangeHandler>()

  function tell(change: SandboxChange | 'all', row?: SandboxRow): void {
    for (const handler of [...handlers]) handler(change, row)
  }

  listener.subscribe(SANDBOX_CHANNEL, {
    onNotify(payload) {
      const change = parse(payload)
      // This replica has told its own changes already.
      if (change !== undefined && change.origin !== origin) tell(change)
    },
    onListening: () => tell('all'),
  })

  return {
    emit: tell,
    payload: ({ id, state, desiredState, lost }) => [origin, id, state, desiredState, lost ? LOST : HERE].join(' '),
    subscribe(handler) {
      handlers.add(handler)
      return () => handlers.delete(handler)
    },
  }
}

function parse(payload: string): (SandboxChange & { origin: string }) | undefined {
  const [origin, id, stateText, desiredText, lostText] = payload.split(' ')
  const state = storedSandboxStates.find((known) => known === stateText)
  const desiredState = desiredSandboxStates.find((known) => known === desiredText)
  if (origin === undefined || id === undefined || state === undefined || desiredState === undefined) return undefined
  return { origin, id, state, desiredState, lost: lostText === LOST }
}
