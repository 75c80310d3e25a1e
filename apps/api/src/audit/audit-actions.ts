/** The action of a call that changes something, and the type of its target. */
export interface AuditAction {
  readonly action: string
  readonly targetType: string
}

/**
 * Every call that changes something: the target's type, the action's name in the log (as clients know it), then method
 * and path, with a colon for each parameter. A changing route of the API that is missing here keeps the API from
 * starting.
 */
const CHANGES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  sandbox: {
    create: ['POST /sandbox', 'POST /workspace'],
    delete: ['DELETE /sandbox/:', 'DELETE /workspace/:'],
    start: ['POST /sandbox/:/start', 'POST /workspace/:/start'],
    stop: ['POST /sandbox/:/stop', 'POST /workspace/:/stop'],
    pause: ['POST /sandbox/:/pause'],
    fork: ['POST /sandbox/:/fork'],
    recover: ['POST /sandbox/:/recover'],
    resize: ['POST /sandbox/:/resize', 'POST /workspace/:/resize'],
    archive: ['POST /sandbox/:/archive', 'POST /workspace/:/archive'],
    snapshot: ['POST /sandbox/:/snapshot'],
    create_backup: ['POST /sandbox/:/backup', 'POST /workspace/:/backup', 'POST /workspace/:/snapshot'],
    replace_labels: ['PUT /sandbox/:/labels', 'PUT /workspace/:/labels'],
    update_public_status: ['POST /sandbox/:/public/:', 'POST /workspace/:/public/:'],
    set_auto_stop_interval: ['POST /sandbox/:/autostop/:', 'POST /workspace/:/autostop/:'],
    set_auto_archive_interval: ['POST /sandbox/:/autoarchive/:', 'POST /workspace/:/autoarchive/:'],
    set_auto_delete_interval: ['POST /sandbox/:/autodelete/:', 'POST /workspace/:/autodelete/:'],
    set_auto_pause_interval: ['POST /sandbox/:/autopause/:'],
    set_ttl: ['POST /sandbox/:/ttl/:'],
    update_network_settings: ['POST /sandbox/:/network-settings'],
    update_secrets: ['PUT /sandbox/:/secrets'],
    rotate_signing_key: ['POST /sandbox/:/signing-key/rotate'],
    expire_signed_preview_url: ['POST /sandbox/:/ports/:/signed-preview-url/:/expire'],
    create_ssh_access: ['POST /sandbox/:/ssh-access'],
    revoke_ssh_access: ['DELETE /sandbox/:/ssh-access'],
  },
  snapshot: {
    create: [
      'POST /snapshots',
      'POST /images',
      'POST /images/build',
      'POST /snapshots/upload',
      'POST /snapshots/directory',
    ],
    delete: ['DELETE /snapshots/:', 'DELETE /images/:'],
    toggle_state: ['PATCH /snapshots/:/toggle', 'PATCH /images/:/toggle'],
    set_general_status: ['PATCH /snapshots/:/general', 'PATCH /images/:/general'],
    activate: ['POST /snapshots/:/activate'],
    deactivate: ['POST /snapshots/:/deactivate'],
  },
  volume: { create: ['POST /volumes'], delete: ['DELETE /volumes/:'] },
  warm_pool: { create: ['POST /warm-pools'], update: ['PATCH /warm-pools/:'], delete: ['DELETE /warm-pools/:'] },
  docker_registry: {
    create: ['POST /docker-registry'],
    update: ['PATCH /docker-registry/:'],
    delete: ['DELETE /docker-registry/:'],
    set_default: ['POST /docker-registry/:/set-default'],
  },
  api_key: { create: ['POST /api-keys'], delete: ['DELETE /api-keys/:', 'DELETE /api-keys/:/:'] },
  organization: {
    create: ['POST /organizations'],
    delete: ['DELETE /organizations/:'],
    update_quota: ['PATCH /organizations/:/quota', 'PUT /organizations/:/quota'],
    update_default_region: ['PATCH /organizations/:/default-region'],
    leave_organization: ['POST /organizations/:/leave'],
    suspend: ['POST /organizations/:/suspend'],
    unsuspend: ['POST /organizations/:/unsuspend'],
  },
  organization_user: {
    update_role: ['POST /organizations/:/users/:/role'],
    update_assigned_roles: ['POST /organizations/:/users/:/assigned-roles'],
    update_access: ['POST /organizations/:/users/:/access'],
    delete: ['DELETE /organizations/:/users/:'],
  },
  organization_role: {
    create: ['POST /organizations/:/roles'],
    update: ['PUT /organizations/:/roles/:'],
    delete: ['DELETE /organizations/:/roles/:'],
  },
  organization_invitation: {
    create: ['POST /organizations/:/invitations'],
    update: ['PUT /organizations/:/invitations/:'],
    cancel: ['POST /organizations/:/invitations/:/cancel'],
    accept: ['POST /organizations/invitations/:/accept'],
    decline: ['POST /organizations/invitations/:/decline'],
  },
  user: {
    create: ['POST /users'],
    sign_in: ['POST /auth/sign-in'],
    sign_out: ['POST /auth/sign-out'],
    // Only the reuse of a refresh token leaves a line: clients refresh every few minutes.
    reuse_refresh_token: ['POST /auth/refresh'],
    change_password: ['PUT /auth/password', 'PUT /auth/users/:/password'],
    regenerate_key_pair: ['POST /users/:/regenerate-key-pair'],
    link_account: ['POST /users/linked-accounts'],
    unlink_account: ['DELETE /users/linked-accounts/:/:'],
  },
  runner: {
    create: ['POST /runners', 'POST /nodes'],
    delete: ['DELETE /runners/:'],
    update_scheduling: ['PATCH /runners/:/scheduling', 'PATCH /nodes/:/scheduling'],
    update_draining: ['PATCH /runners/:/draining'],
  },
  region: { create: ['POST /regions'], update: ['PATCH /regions/:'], delete: ['DELETE /regions/:'] },
}

/** Changing calls that leave no line: a client repeats them while it uses a sandbox. */
const UNNOTED: ReadonlySet<string> = new Set(['POST /sandbox/:/last-activity'])

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

const actions: ReadonlyMap<string, AuditAction> = new Map(
  Object.entries(CHANGES).flatMap(([targetType, byAction]) =>
    Object.entries(byAction).flatMap(([action, calls]) =>
      calls.map((call): [string, AuditAction] => [call, { action, targetType }]),
    ),
  ),
)

/**
 * Returns the action of a route; undefined for a route that changes nothing. `path` is without the prefix of the API.
 * Throws for a changing route that the list above does not name.
 */
export function auditActionOf(method: string, path: string): AuditAction | undefined {
  const call = `${method} ${path.replaceAll(/:\w+/g, ':').replace(/\/$/, '')}`
  if (READING.has(method) || UNNOTED.has(call)) return undefined
  const action = actions.get(call)
  if (action === undefined) throw new Error(`${call} changes something, and audit-actions.ts does not say what`)
  return action
}
