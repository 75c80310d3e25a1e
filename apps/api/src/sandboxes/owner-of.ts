import type { SandboxRow } from './sandbox-table.ts'

/** Returns the organization of a sandbox. Throws for a member of a warm pool, which callers must not pass. */
export function ownerOf({ id, organizationId }: Pick<SandboxRow, 'id' | 'organizationId'>): string {
  if (organizationId === null) throw new Error(`sandbox ${id} is nobody's`)
  return organizationId
}
