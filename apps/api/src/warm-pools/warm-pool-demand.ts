import type { Counter } from 'prom-client'
import type { Database } from '../database/database.ts'

/** Creates are counted by spans of this length, in milliseconds. */
export const DEMAND_SPAN_MS = 10_000
/** Kinds of sandboxes that are counted between two writes; creates of further kinds are left out. */
const MAX_KINDS = 1_000

/** The kind of sandbox that an operator's pool serves. */
export interface SandboxKind {
  snapshotId: string
  target: string
}

/** Whether a create was served from a pool or could have been. */
export type Outcome = 'claims' | 'misses'

export interface WarmPoolDemandOptions {
  database: Pick<Database, 'sql'>
  counters: Record<Outcome, Pick<Counter, 'inc'>>
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Counts the creates that the operator's pools served or could have served. Counts that are not written yet are lost
 * when the replica dies; pool sizes then follow later.
 */
export interface WarmPoolDemand {
  record(kind: SandboxKind, outcome: Outcome): void
  /** Writes the counts since the last flush, for the kinds that have a pool. */
  flush(): Promise<void>
}

export function createWarmPoolDemand({ database, counters, now }: WarmPoolDemandOptions): WarmPoolDemand {
  let counted = new Map<string, SandboxKind & Record<Outcome, number>>()
  return {
    record(kind, outcome) {
      counters[outcome].inc()
      const key = `${kind.snapshotId} ${kind.target}`
      const entry = counted.get(key) ?? { ...kind, claims: 0, misses: 0 }
      entry[outcome] += 1
      if (counted.has(key) || counted.size < MAX_KINDS) counted.set(key, entry)
    },
    async flush() {
      if (counted.size === 0) return
      const entries = [...counted.values()]
      counted = new Map()
      const span = new Date(Math.floor(now() / DEMAND_SPAN_MS) * DEMAND_SPAN_MS).toISOString()
      const { sql } = database
      await sql`
        insert into warm_pool_demand (pool_id, span, claims, misses)
        select warm_pools.id, ${span}::timestamptz, asked.claims, asked.misses
        from unnest(
          ${entries.map(({ snapshotId }) => snapshotId)}::uuid[], ${entries.map(({ target }) => target)}::text[],
          ${entries.map(({ claims }) => claims)}::integer[], ${entries.map(({ misses }) => misses)}::integer[]
        ) as asked(snapshot_id, target, claims, misses)
        join warm_pools on warm_pools.snapshot_id = asked.snapshot_id and warm_pools.target = asked.target
          and warm_pools.organization_id is null
        on conflict (pool_id, span) do update set
          claims = warm_pool_demand.claims + excluded.claims,
          misses = warm_pool_demand.misses + excluded.misses`
    },
  }
}
