import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { DatabaseListener } from '../database/listener.ts'

/** The new state of a row. Only a hint: it may be late, repeated or lost. */
export interface RowChange<State extends string> {
  readonly id: string
  readonly state: State
}

/** `all` means that notifications may have been lost, so any row may have changed. A handler must not throw. */
export type RowChangeHandler<State extends string> = (change: RowChange<State> | 'all') => void

/** Tells this replica's loops and waiters of changes made here or elsewhere. */
export interface RowChanges<State extends string> {
  /** Hands a change made here to every handler, at once. */
  emit(change: RowChange<State>): void
  /** Notifies the other replicas when the transaction commits. */
  notify(tx: Queryable, change: RowChange<State>): Promise<void>
  /** Calls `handler` for every change until the function returned is called. */
  subscribe(handler: RowChangeHandler<State>): () => void
}

export interface RowChangesOptions<State extends string> {
  listener: Pick<DatabaseListener, 'subscribe'>
  /** The PostgreSQL channel on which replicas notify each other. */
  channel: string
  states: readonly State[]
}

/** Subscribes to the channel; call it before the listener starts. */
export function createRowChanges<State extends string>(options: RowChangesOptions<State>): RowChanges<State> {
  const { listener, channel, states } = options
  const origin = randomUUID()
  const handlers = new Set<RowChangeHandler<State>>()

  function tell(change: RowChange<State> | 'all'): void {
    for (const handler of [...handlers]) handler(change)
  }

  listener.subscribe(channel, {
    onNotify(payload) {
      const [from, id, text] = payload.split(' ')
      const state = states.find((known) => known === text)
      // This replica has already told its handlers of its own changes.
      if (from !== origin && id !== undefined && state !== undefined) tell({ id, state })
    },
    onListening: () => tell('all'),
  })

  return {
    emit: tell,
    async notify(tx, { id, state }) {
      await tx.execute(sql`select pg_notify(${channel}, ${[origin, id, state].join(' ')})`)
    },
    subscribe(handler) {
      handlers.add(handler)
      return () => handlers.delete(handler)
    },
  }
}
