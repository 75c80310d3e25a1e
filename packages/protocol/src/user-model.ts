import type { Static } from 'typebox'
import { Type } from 'typebox'
import { UpdateQuota } from './organization-model.ts'

/** Longest id and name of a user, in UTF-16 code units. */
export const MAX_USER_ID_LENGTH = 255
export const MAX_USER_NAME_LENGTH = 255
/** Longest email address, in UTF-16 code units: longer than any that mail can be sent to. */
export const MAX_EMAIL_LENGTH = 320

const publicFields = {
  id: Type.String({ description: "Free text: an OpenID provider's `sub`, or an id of Atoll's own" }),
  name: Type.String(),
  email: Type.String({ description: 'Empty when there is none' }),
  emailVerified: Type.Boolean(),
  publicKeys: Type.Array(Type.Object({ key: Type.String(), name: Type.String() })),
  createdAt: Type.String({ format: 'date-time' }),
}

const UserRole = Type.Enum(['admin', 'user'])

/** A user as clients see it (§5 of the contract). */
export const User = Type.Object(publicFields, { $id: 'User' })
export type User = Static<typeof User>

/** A user as administrators see it. A private key is never shown. */
export const UserEntity = Type.Object(
  {
    ...publicFields,
    role: UserRole,
    keyPair: Type.Optional(Type.Object({ publicKey: Type.String({ description: 'RSA, in PEM' }) })),
  },
  { $id: 'UserEntity' },
)
export type UserEntity = Static<typeof UserEntity>

/** Body of `POST /users`. */
export const CreateUser = Type.Object({
  id: Type.String({ minLength: 1, maxLength: MAX_USER_ID_LENGTH }),
  name: Type.String({ minLength: 1, maxLength: MAX_USER_NAME_LENGTH }),
  email: Type.Optional(Type.String({ maxLength: MAX_EMAIL_LENGTH })),
  role: Type.Optional(UserRole),
  emailVerified: Type.Optional(
    Type.Boolean({ description: 'Absent: true, since an administrator vouches. False suspends what is theirs' }),
  ),
  /** The quotas of the user's personal organization; absent ones have their usual values. */
  personalOrganizationQuota: Type.Optional(UpdateQuota),
})
export type CreateUser = Static<typeof CreateUser>

/** A provider whose accounts can be linked. Newer clients call it `provider`, older ones `name`. */
export const AccountProvider = Type.Object(
  {
    name: Type.String(),
    provider: Type.String(),
    displayName: Type.String(),
    linked: Type.Boolean({ description: 'Whether the caller has an account of it' }),
  },
  { $id: 'AccountProvider' },
)
export type AccountProvider = Static<typeof AccountProvider>

/** Longest access token of another account, in UTF-16 code units. */
const MAX_TOKEN_LENGTH = 16_384

/** Body of `POST /users/linked-accounts`. */
export const LinkAccount = Type.Object({
  provider: Type.String({ minLength: 1, maxLength: 255, description: 'Name of the provider' }),
  userId: Type.String({ minLength: 1, maxLength: MAX_USER_ID_LENGTH, description: '`sub` of the account there' }),
  token: Type.Optional(
    Type.String({
      maxLength: MAX_TOKEN_LENGTH,
      description:
        "A token of that account, as proof. Absent: it must have signed in before, with the caller's own verified email",
    }),
  ),
})
export type LinkAccount = Static<typeof LinkAccount>
