/** Everything an API key or a role can be allowed to do. */
export const permissions = [
  'write:registries',
  'delete:registries',
  'write:snapshots',
  'delete:snapshots',
  'write:sandboxes',
  'delete:sandboxes',
  'read:volumes',
  'write:volumes',
  'delete:volumes',
] as const

export type Permission = (typeof permissions)[number]

/** Keeps the known permissions of a stored list. */
export function toPermissions(stored: readonly string[]): ReadonlySet<Permission> {
  return new Set(permissions.filter((permission) => stored.includes(permission)))
}
