import { AppError } from '@atoll/protocol'

/** The permissions that an API key or a role can have: §3 of the Daytona contract. */
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
  'write:regions',
  'delete:regions',
  'read:runners',
  'write:runners',
  'delete:runners',
  'read:audit_logs',
  'manage:api_keys',
  'manage:secrets',
  'read:limits',
  'manage:sso',
  'read:billing',
  'manage:billing',
] as const

export type Permission = (typeof permissions)[number]

/** Older clients' names of permissions. */
const permissionAliases: Readonly<Record<string, Permission>> = {
  'write:images': 'write:snapshots',
  'delete:images': 'delete:snapshots',
}

/**
 * Returns the permissions that a body asks for, under today's names and each once. Throws VALIDATION_FAILED for an
 * unknown one.
 */
export function parsePermissions(asked: readonly string[]): Permission[] {
  const parsed = asked.map((name, index) => {
    const alias = Object.hasOwn(permissionAliases, name) ? permissionAliases[name] : undefined
    const permission = alias ?? permissions.find((known) => known === name)
    if (permission !== undefined) return permission
    throw new AppError('VALIDATION_FAILED', `body.permissions.${index} must be one of ${permissions.join(', ')}`)
  })
  return [...new Set(parsed)]
}

/** Keeps the known permissions of a stored list. */
export function toPermissions(stored: readonly string[]): ReadonlySet<Permission> {
  return new Set(permissions.filter((permission) => stored.includes(permission)))
}
