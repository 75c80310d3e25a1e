import type { Static } from 'typebox'
import { Type } from 'typebox'

/** How long an invitation is valid by default, in milliseconds: a week. */
export const INVITATION_MS = 7 * 24 * 60 * 60 * 1000

/** Most roles one member can be given. */
const MAX_ASSIGNED_ROLES = 100
/** Most permissions of a role in a request: far more than exist. */
const MAX_PERMISSIONS = 100

const Time = Type.String({ format: 'date-time' })
const UserRole = Type.Enum(['owner', 'member'])

/** A set of permissions that members can be given (§4 of the contract). */
export const OrganizationRole = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name: Type.String(),
    description: Type.String(),
    permissions: Type.Array(Type.String()),
    isGlobal: Type.Boolean({ description: 'The same in every organization, and never changed' }),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: 'OrganizationRole' },
)
export type OrganizationRole = Static<typeof OrganizationRole>

/** Body of `POST` and `PUT …/roles`. */
export const WriteOrganizationRole = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 255 }),
  description: Type.String({ maxLength: 1_024 }),
  permissions: Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: MAX_PERMISSIONS }),
})
export type WriteOrganizationRole = Static<typeof WriteOrganizationRole>

export const OrganizationUser = Type.Object(
  {
    userId: Type.String(),
    organizationId: Type.String({ format: 'uuid' }),
    name: Type.String(),
    email: Type.String(),
    role: UserRole,
    assignedRoles: Type.Array(OrganizationRole),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: 'OrganizationUser' },
)
export type OrganizationUser = Static<typeof OrganizationUser>

const RoleIds = Type.Array(Type.String({ maxLength: 64 }), { maxItems: MAX_ASSIGNED_ROLES })

/** Body of `POST …/users/{userId}/role`. */
export const UpdateMemberRole = Type.Object({ role: UserRole })
export type UpdateMemberRole = Static<typeof UpdateMemberRole>

/** Body of `POST …/users/{userId}/assigned-roles`. */
export const UpdateAssignedRoles = Type.Object({ roleIds: RoleIds })
export type UpdateAssignedRoles = Static<typeof UpdateAssignedRoles>

/** Body of `POST …/users/{userId}/access`: the role and the assigned roles together. */
export const UpdateMemberAccess = Type.Object({ role: UserRole, assignedRoleIds: RoleIds })
export type UpdateMemberAccess = Static<typeof UpdateMemberAccess>

export const OrganizationInvitation = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    email: Type.String(),
    invitedBy: Type.String({ description: 'Email of the inviter' }),
    organizationId: Type.String({ format: 'uuid' }),
    organizationName: Type.String(),
    expiresAt: Time,
    status: Type.Enum(['pending', 'accepted', 'declined', 'cancelled']),
    role: UserRole,
    assignedRoles: Type.Array(OrganizationRole),
    createdAt: Time,
    updatedAt: Time,
  },
  { $id: 'OrganizationInvitation' },
)
export type OrganizationInvitation = Static<typeof OrganizationInvitation>

const ExpiresAt = Type.Optional(Type.Union([Time, Type.Null()], { description: 'In a week when it is not given' }))

/** Body of `PUT …/invitations/{id}`. */
export const UpdateInvitation = Type.Object({ role: UserRole, assignedRoleIds: RoleIds, expiresAt: ExpiresAt })
export type UpdateInvitation = Static<typeof UpdateInvitation>

/** Body of `POST …/invitations`. Some clients send no role and no assigned roles: the defaults are member and Developer. */
export const CreateInvitation = Type.Object({
  email: Type.String({ format: 'email', maxLength: 320 }),
  role: Type.Optional(UserRole),
  assignedRoleIds: Type.Optional(RoleIds),
  expiresAt: ExpiresAt,
})
export type CreateInvitation = Static<typeof CreateInvitation>
