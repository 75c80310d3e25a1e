import type { SQL } from 'drizzle-orm'
import { sql } from 'drizzle-orm'
import type { AnyPgColumn } from 'drizzle-orm/pg-core'
import { bigint, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Who causes a change of a state. */
export type Actor = { kind: 'user'; id: string } | { kind: 'reconciler' } | { kind: 'runner' }

export const RECONCILER: Actor = { kind: 'reconciler' }

/** Whoever made a request. */
export function userActor({ userId }: { userId: string }): Actor {
  return { kind: 'user', id: userId }
}

/** The columns of a table of changes, beside the id of what changed, which they outlive: no foreign key. */
export function eventColumns() {
  return {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    organizationId: uuid('organization_id').notNull(),
    /** Who caused it: a user's id, `reconciler` or `runner`. */
    actorKind: text('actor_kind', { enum: ['user', 'reconciler', 'runner'] }).notNull(),
    actorId: text('actor_id'),
    event: text('event').notNull(),
    /** Null for the creation. */
    fromState: text('from_state'),
    toState: text('to_state').notNull(),
    /** How long `fromState` stood. */
    durationMs: bigint('duration_ms', { mode: 'number' }).notNull(),
    reason: text('reason'),
    at: timestamp('at', { withTimezone: true }).notNull(),
  }
}

/** What the check of `actor_kind` says. */
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

/** The values of `eventColumns`. A duration is never negative, even where two hosts' clocks disagree. */
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
