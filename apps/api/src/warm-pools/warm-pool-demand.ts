import type { Counter } from 'prom-client'
import type { Database } from '../database/database.ts'

/** Creates are counted by spans of this length, in milliseconds. */
export const DEMAND_SPAN_MS = 10_000
/** Of so many kinds of sandboxes at a time between two writes. */
const MAX_KINDS = 1_000

/** What a pool of the operator's serves. */
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

/** Counts what is asked of the operator's pools. What is not written yet is lost with the replica: sizes follow later then. */
export interface WarmPoolDemand {
  record(kind: SandboxKind, outcome: Outcome): void
  /** Writes what was counted since, for those kinds that have a pool. */
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
