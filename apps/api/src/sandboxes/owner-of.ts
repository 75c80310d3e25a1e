import type { SandboxRow } from './sandbox-table.ts'

/** Whose a sandbox is. For what is only done with sandboxes that are somebody's: no member of a warm pool comes here. */
export function ownerOf({ id, organizationId }: Pick<SandboxRow, 'id' | 'organizationId'>): string {
  if (organizationId === null) throw new Error(`sandbox ${id} is nobody's`)
  return organizationId
}
