import type { OrganizationRow } from './organization-table.ts'

/** Whether a suspension stands at `now` (milliseconds since the epoch): one whose end is past does not. */
export function isSuspended(row: Pick<OrganizationRow, 'suspended' | 'suspendedUntil'>, now: number): boolean {
  return row.suspended && (row.suspendedUntil === null || row.suspendedUntil.getTime() > now)
}
