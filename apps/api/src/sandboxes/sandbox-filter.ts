import type { SQL } from 'drizzle-orm'
import { and, eq, gte, inArray, lte, ne, or, sql } from 'drizzle-orm'
import { sandboxes } from './sandbox-table.ts'

/** The conditions of a list; an absent one lets everything pass. */
export interface SandboxFilter {
  /** A sandbox must have all of these labels. */
  labels?: Record<string, string>
  idPrefix?: string | undefined
  namePrefix?: string | undefined
  /** Whether sandboxes that failed and are marked for deletion pass, too. */
  includeErroredDeleted?: boolean | undefined
  /** The states as clients see them. */
  states?: readonly string[] | undefined
  snapshots?: readonly string[] | undefined
  targets?: readonly string[] | undefined
  public?: boolean | undefined
  /** Whether the sandbox can be recovered, from an error or from a lost runner. */
  recoverable?: boolean | undefined
  cpu?: Range<number>
  gpu?: Range<number>
  memoryGib?: Range<number>
  diskGib?: Range<number>
  createdAt?: Range<Date>
  lastActivityAt?: Range<Date>
  autoDestroyAt?: Range<Date>
}

/** A range with both ends included; an absent end is open. */
export interface Range<Value> {
  from?: Value | undefined
  to?: Value | undefined
}

/** `shownState` in SQL. */
const shown = sql`case
  when ${sandboxes.state} = 'destroyed' then 'destroyed'
  when ${sandboxes.desiredState} = 'destroyed' then 'destroying'
  when ${sandboxes.lost} then 'unknown'
  when ${sandboxes.state} = 'error' then 'error'
  when ${sandboxes.desiredState} = 'resized' then 'resizing'
  when ${sandboxes.state} = 'started' and ${sandboxes.desiredState} = 'stopped' then 'stopping'
  when ${sandboxes.state} = 'stopped' and ${sandboxes.desiredState} = 'started' then 'starting'
  when ${sandboxes.state} = 'stopped' and ${sandboxes.desiredState} = 'archived' then 'archiving'
  when ${sandboxes.state} = 'archived' and ${sandboxes.desiredState} = 'started' then 'restoring'
  when ${sandboxes.snapshottingId} is not null and ${sandboxes.state} = ${sandboxes.desiredState} then 'snapshotting'
  else ${sandboxes.state} end`

/** The states in which `state` may equal `desiredState`. All others mean an error or that the two differ. */
const settledStates: ReadonlySet<string> = new Set(['started', 'stopped', 'archived', 'snapshotting', 'unknown'])

/** The name that clients see. */
export const shownName = sql<string>`coalesce(${sandboxes.name}, ${sandboxes.id}::text)`

/** The condition for an organization's sandboxes that pass `filter` and are not destroyed. */
export function conditionOf(organizationId: string, filter: SandboxFilter): SQL | undefined {
  const { labels = {} } = filter
  return and(
    eq(sandboxes.organizationId, organizationId),
    ne(sandboxes.state, 'destroyed'),
    filter.includeErroredDeleted
      ? undefined
      : or(ne(sandboxes.state, 'error'), ne(sandboxes.desiredState, 'destroyed')),
    Object.keys(labels).length === 0 ? undefined : sql`${sandboxes.labels} @> ${JSON.stringify(labels)}::jsonb`,
    hasIdPrefix(filter.idPrefix?.toLowerCase()),
    startsWith(shownName, filter.namePrefix),
    filter.states === undefined ? undefined : inState(filter.states),
    filter.snapshots === undefined ? undefined : inArray(sandboxes.snapshot, [...filter.snapshots]),
    filter.targets === undefined ? undefined : inArray(sandboxes.target, [...filter.targets]),
    filter.public === undefined ? undefined : isPublic(filter.public),
    filter.recoverable === undefined
      ? undefined
      : sql`(${sandboxes.recoverableTo} is not null) = ${filter.recoverable}`,
    ...amounts(filter),
    ...times(filter),
  )
}

/** For states that few sandboxes have, adds the condition of `sandboxes_restless_index`, so that PostgreSQL can use it. */
function inState(states: readonly string[]): SQL | undefined {
  const wanted = inArray(shown, [...states])
  if (states.some((state) => settledStates.has(state))) return wanted
  return and(wanted, sql`(${sandboxes.state} = 'error' or ${sandboxes.state} <> ${sandboxes.desiredState})`)
}

/** Takes no parameter, so that PostgreSQL sees that `sandboxes_public_index` fits. */
function isPublic(wanted: boolean): SQL {
  return wanted ? sql`${sandboxes.public}` : sql`not ${sandboxes.public}`
}

/** Returns the condition as a range of ids, for which their index can be used. */
function hasIdPrefix(prefix: string | undefined): SQL | undefined {
  if (prefix === undefined || prefix === '') return undefined
  if (!isIdPrefix(prefix)) return sql`false`
  const [first, last] = ['0', 'f'].map((digit) => prefix + ID_SHAPE.slice(prefix.length).replaceAll('0', digit))
  return sql`${sandboxes.id} between ${first}::uuid and ${last}::uuid`
}

const ID_SHAPE = '00000000-0000-0000-0000-000000000000'

function isIdPrefix(text: string): boolean {
  // Every hexadecimal digit stands for 0 in the shape of an id.
  const shape = text.replaceAll(/[0-9a-f]/g, '0')
  return ID_SHAPE.startsWith(shape)
}

function startsWith(text: SQL, prefix: string | undefined): SQL | undefined {
  return prefix === undefined || prefix === '' ? undefined : sql`starts_with(${text}, ${prefix})`
}

function amounts({ cpu, gpu, memoryGib, diskGib }: SandboxFilter): (SQL | undefined)[] {
  const columns = [
    [sandboxes.cpu, cpu],
    [sandboxes.gpu, gpu],
    [sandboxes.memoryGib, memoryGib],
    [sandboxes.diskGib, diskGib],
  ] as const
  // The bounds may be fractions, which a parameter of an integer column cannot be.
  return columns.flatMap(([column, range]) => [
    range?.from === undefined ? undefined : sql`${column} >= ${range.from}::float8`,
    range?.to === undefined ? undefined : sql`${column} <= ${range.to}::float8`,
  ])
}

function times({ createdAt, lastActivityAt, autoDestroyAt }: SandboxFilter): (SQL | undefined)[] {
  const columns = [
    [sandboxes.createdAt, createdAt],
    [sandboxes.lastActivityAt, lastActivityAt],
    [sandboxes.autoDestroyAt, autoDestroyAt],
  ] as const
  return columns.flatMap(([column, range]) => [
    range?.from === undefined ? undefined : gte(column, range.from),
    range?.to === undefined ? undefined : lte(column, range.to),
  ])
}
