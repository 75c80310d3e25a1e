import type { OrganizationRow } from './organization-table.ts'

/** Whether the organization is suspended at `now` (milliseconds since the epoch): a suspension past its end does not count. */
export function isSuspended(row: Pick<OrganizationRow, 'suspended' | 'suspendedUntil'>, now: number): boolean {
  return row.suspended && (row.suspendedUntil === null || row.suspendedUntil.getTime() > now)
}
