import type { CreateInvitation, OrganizationInvitation, UpdateInvitation } from '@atoll/protocol'
import { AppError, INVITATION_MS } from '@atoll/protocol'
import type { Caller, Principal } from '../auth/principal.ts'
import type { Database, Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { parseTime } from '../http/time-field.ts'
import { createUserStore } from '../users/user-store.ts'
import type { InvitationWithRoles } from './invitation-store.ts'
import { createInvitationStore } from './invitation-store.ts'
import { createMemberStore } from './member-store.ts'
import { toInvitation } from './organization-dto.ts'
import { lockOrganization, requireAccount, requireRoles } from './organization-guards.ts'

/** The global role Developer: an invitation without roles gives it. */
const DEFAULT_ROLE_ID = '00000000-0000-0000-0000-000000000001'

/** The most standing invitations of one organization: pending and not expired. */
export const MAX_STANDING_INVITATIONS = 500

/**
 * Handles invitations: pending until accepted, declined, cancelled or expired. Of simultaneous answers to one only the
 * first counts. Calls that change an invitation throw INVITATION_NOT_FOUND, and INVITATION_NOT_PENDING when it no
 * longer stands.
 */
export interface InvitationService {
  /** Throws ORGANIZATION_IS_PERSONAL, ALREADY_MEMBER, ALREADY_INVITED, VALIDATION_FAILED, and QUOTA_EXCEEDED. */
  create(principal: Principal, body: CreateInvitation): Promise<OrganizationInvitation>
  /** Returns the organization's standing invitations. */
  list(organizationId: string): Promise<OrganizationInvitation[]>
  /** Changes an invitation. Without a new time its expiry stays. */
  update(organizationId: string, id: string, body: UpdateInvitation): Promise<OrganizationInvitation>
  cancel(organizationId: string, id: string): Promise<void>
  /** Returns the standing invitations to the caller's email. */
  listMine(caller: Caller): Promise<OrganizationInvitation[]>
  countMine(caller: Caller): Promise<number>
  /** Makes the caller a member, with the roles of the invitation. Throws ALREADY_MEMBER. */
  accept(caller: Caller, id: string): Promise<OrganizationInvitation>
  /** Returns the id of the organization. */
  decline(caller: Caller, id: string): Promise<string>
}

export interface InvitationServiceOptions {
  database: Pick<Database, 'db' | 'transaction'>
  /** Whether an email address counts only when it is verified. */
  requireVerifiedEmail: boolean
  /** Milliseconds since the epoch. */
  now: () => number
}

export function createInvitationService(options: InvitationServiceOptions): InvitationService {
  return new Invitations(options)
}

class Invitations implements InvitationService {
  private readonly database: Pick<Database, 'db' | 'transaction'>
  private readonly requireVerifiedEmail: boolean
  private readonly now: () => number

  constructor({ database, requireVerifiedEmail, now }: InvitationServiceOptions) {
    this.database = database
    this.requireVerifiedEmail = requireVerifiedEmail
    this.now = now
  }

  async create({ organizationId, userId }: Principal, body: CreateInvitation): Promise<OrganizationInvitation> {
    const { email, role = 'member', assignedRoleIds = [DEFAULT_ROLE_ID] } = body
    const expiresAt = this.expiry(body.expiresAt) ?? new Date(this.now() + INVITATION_MS)
    return await this.database.transaction(async (tx) => {
      const { personal } = await lockOrganization(tx, organizationId)
      if (personal) throw new AppError('ORGANIZATION_IS_PERSONAL', 'Nobody can be invited to a personal organization')
      await this.requireNew(tx, organizationId, email)
      const roleIds = await requireRoles(tx, organizationId, { field: 'assignedRoleIds', ids: assignedRoleIds })
      const inviter = await createUserStore(tx).find(userId)
      const values = { organizationId, email, invitedBy: inviter?.email ?? '', role, expiresAt }
      const id = await createInvitationStore(tx).insert(values, roleIds)
      return toInvitation(await find(tx, id, (invitation) => invitation.organizationId === organizationId))
    })
  }

  async list(organizationId: string): Promise<OrganizationInvitation[]> {
    const rows = await createInvitationStore(this.database.db).listStanding({ organizationId }, this.time())
    return rows.map(toInvitation)
  }

  async update(organizationId: string, id: string, body: UpdateInvitation): Promise<OrganizationInvitation> {
    const expiresAt = this.expiry(body.expiresAt)
    return await this.database.transaction(async (tx) => {
      await this.lockOwn(tx, organizationId, id)
      const ids = body.assignedRoleIds
      const roleIds = await requireRoles(tx, organizationId, { field: 'assignedRoleIds', ids })
      const invitations = createInvitationStore(tx)
      await invitations.update(id, { role: body.role, ...(expiresAt === undefined ? {} : { expiresAt }) })
      await invitations.setRoles(id, roleIds)
      return toInvitation(await find(tx, id, () => true))
    })
  }

  async cancel(organizationId: string, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.lockOwn(tx, organizationId, id)
      await createInvitationStore(tx).update(id, { status: 'cancelled' })
    })
  }

  async listMine(caller: Caller): Promise<OrganizationInvitation[]> {
    const email = await this.emailOf(this.database.db, caller)
    if (email === '') return []
    const rows = await createInvitationStore(this.database.db).listStanding({ email }, this.time())
    return rows.map(toInvitation)
  }

  async countMine(caller: Caller): Promise<number> {
    const email = await this.emailOf(this.database.db, caller)
    return email === '' ? 0 : await createInvitationStore(this.database.db).countStanding(email, this.time())
  }

  async accept(caller: Caller, id: string): Promise<OrganizationInvitation> {
    return await this.database.transaction(async (tx) => {
      const { organizationId, role, roles } = await this.lockMine(tx, caller, id)
      const members = createMemberStore(tx)
      if (!(await members.insert(organizationId, caller.userId, role))) {
        throw new AppError('ALREADY_MEMBER', 'You belong to the organization already')
      }
      const roleIds = roles.map((assigned) => assigned.id)
      await members.setAssignedRoles(organizationId, caller.userId, roleIds)
      await createInvitationStore(tx).update(id, { status: 'accepted' })
      return toInvitation(await find(tx, id, () => true))
    })
  }

  async decline(caller: Caller, id: string): Promise<string> {
    return await this.database.transaction(async (tx) => {
      const { organizationId } = await this.lockMine(tx, caller, id)
      await createInvitationStore(tx).update(id, { status: 'declined' })
      return organizationId
    })
  }

  private async requireNew(tx: Queryable, organizationId: string, email: string): Promise<void> {
    if (await createMemberStore(tx).hasEmail(organizationId, email)) {
      throw new AppError('ALREADY_MEMBER', `${email} belongs to the organization already`)
    }
    const standing = await createInvitationStore(tx).listStanding({ organizationId }, this.time())
    if (standing.some((invitation) => invitation.email.toLowerCase() === email.toLowerCase())) {
      throw new AppError('ALREADY_INVITED', `${email} is invited already`)
    }
    if (standing.length < MAX_STANDING_INVITATIONS) return
    throw new AppError('QUOTA_EXCEEDED', `There may be at most ${MAX_STANDING_INVITATIONS} invitations at once`)
  }

  /** Locks the organization and checks that its invitation stands. */
  private async lockOwn(tx: Queryable, organizationId: string, id: string): Promise<void> {
    await lockOrganization(tx, organizationId)
    this.requireStanding(await find(tx, id, (invitation) => invitation.organizationId === organizationId))
  }

  /**
   * Returns a standing invitation of the caller. Reads it after locking its organization, so that only one of two
   * answers counts.
   */
  private async lockMine(tx: Queryable, caller: Caller, id: string): Promise<InvitationWithRoles> {
    const email = (await this.emailOf(tx, caller)).toLowerCase()
    const isMine = (invitation: InvitationWithRoles) => email !== '' && invitation.email.toLowerCase() === email
    const { organizationId } = await find(tx, id, isMine)
    await lockOrganization(tx, organizationId)
    const invitation = await find(tx, id, isMine)
    this.requireStanding(invitation)
    return invitation
  }

  private requireStanding({ status, expiresAt }: InvitationWithRoles): void {
    if (status !== 'pending') throw new AppError('INVITATION_NOT_PENDING', `The invitation is ${status}`)
    if (expiresAt.getTime() <= this.now()) throw new AppError('INVITATION_NOT_PENDING', 'The invitation has expired')
  }

  /** Returns the caller's email; empty when none is known to be theirs, so that no invitation matches. */
  private async emailOf(db: Queryable, caller: Caller): Promise<string> {
    requireAccount(caller)
    const user = await createUserStore(db).find(caller.userId)
    return user !== undefined && (user.emailVerified || !this.requireVerifiedEmail) ? user.email : ''
  }

  private expiry(text: string | null | undefined): Date | undefined {
    if (text === null || text === undefined) return undefined
    const time = parseTime('expiresAt', text)
    if (time.getTime() > this.now()) return time
    throw new AppError('VALIDATION_FAILED', 'expiresAt must be in the future')
  }

  private time(): Date {
    return new Date(this.now())
  }
}

async function find(
  db: Queryable,
  id: string,
  isRight: (invitation: InvitationWithRoles) => boolean,
): Promise<InvitationWithRoles> {
  const invitation = isUuid(id) ? await createInvitationStore(db).find(id) : undefined
  if (invitation !== undefined && isRight(invitation)) return invitation
  throw new AppError('INVITATION_NOT_FOUND', `Organization invitation with ID ${id} not found`)
}
