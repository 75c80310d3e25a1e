import type { SQL } from 'drizzle-orm'
import { sql } from 'drizzle-orm'
import type { AnyPgColumn } from 'drizzle-orm/pg-core'
import { bigint, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** The cause of a state change. */
export type Actor = { kind: 'user'; id: string } | { kind: 'reconciler' } | { kind: 'runner' }

export const RECONCILER: Actor = { kind: 'reconciler' }

/** Returns the actor for the user of a request. */
export function userActor({ userId }: { userId: string }): Actor {
  return { kind: 'user', id: userId }
}

/**
 * Returns the columns of a table of state changes. The table adds the id of the changed row, without a foreign key,
 * because events outlive that row.
 */
export function eventColumns() {
  return {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    organizationId: uuid('organization_id').notNull(),
    /** The kind of the actor; `actor_id` holds the id of a user. */
    actorKind: text('actor_kind', { enum: ['user', 'reconciler', 'runner'] }).notNull(),
    actorId: text('actor_id'),
    event: text('event').notNull(),
    /** Null for the creation. */
    fromState: text('from_state'),
    toState: text('to_state').notNull(),
    /** How long `fromState` stood, in milliseconds. */
    durationMs: bigint('duration_ms', { mode: 'number' }).notNull(),
    reason: text('reason'),
    at: timestamp('at', { withTimezone: true }).notNull(),
  }
}

/** Returns the condition of the CHECK on `actor_kind`. */
export function isActorKind(column: AnyPgColumn): SQL {
  return sql`${column} in ('user', 'reconciler', 'runner')`
}

/** A change of a state, or a creation. */
export interface StateEvent {
  actor: Actor
  event: string
  /** Undefined for the creation. */
  from?: { state: string; since: Date }
  to: string
  reason?: string | undefined
  at: Date
}

/** Returns the values of `eventColumns`. A duration is never negative, even where two hosts' clocks disagree. */
export function eventValues({ actor, event, from, to, reason, at }: StateEvent) {
  return {
    actorKind: actor.kind,
    actorId: actor.kind === 'user' ? actor.id : null,
    event,
    fromState: from?.state ?? null,
    toState: to,
    durationMs: from === undefined ? 0 : Math.max(0, at.getTime() - from.since.getTime()),
    reason: reason ?? null,
    at,
  }
}
