import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Longest name of an API key, in UTF-16 code units. */
export const MAX_API_KEY_NAME_LENGTH = 255

/** Most permissions in a request: more than exist, older names included. */
const MAX_PERMISSIONS = 64

const Time = Type.String({ format: 'date-time' })
const TimeOrNull = Type.Union([Time, Type.Null()])
const Permissions = Type.Array(Type.String())

/** Body of `POST /api-keys` (§5 of the contract). */
export const CreateApiKey = Type.Object({
  name: Type.String({
    minLength: 1,
    maxLength: MAX_API_KEY_NAME_LENGTH,
    description: "Unique among the caller's keys in this organization",
  }),
  permissions: Type.Array(Type.String({ maxLength: 64 }), {
    minItems: 1,
    maxItems: MAX_PERMISSIONS,
    description: 'The caller must have each; `write:images` and `delete:images` are older names of those of snapshots',
  }),
  expiresAt: Type.Optional(Type.Union([Time, Type.Null()], { description: 'Null or absent: never' })),
})
export type CreateApiKey = Static<typeof CreateApiKey>

/** A new key: only this answer shows its value. */
export const ApiKeyResponse = Type.Object(
  {
    name: Type.String(),
    value: Type.String({ description: 'The key itself, shown this once' }),
    createdAt: Time,
    permissions: Permissions,
    expiresAt: TimeOrNull,
  },
  { $id: 'ApiKeyResponse' },
)
export type ApiKeyResponse = Static<typeof ApiKeyResponse>

/** A key in the list of keys. */
export const ApiKeyList = Type.Object(
  {
    name: Type.String(),
    value: Type.String({ description: 'Masked: its first and last three characters' }),
    createdAt: Time,
    permissions: Permissions,
    lastUsedAt: TimeOrNull,
    expiresAt: TimeOrNull,
    userId: Type.String({ description: 'Whose key it is' }),
    organizationId: Type.String({ format: 'uuid' }),
  },
  { $id: 'ApiKeyList' },
)
export type ApiKeyList = Static<typeof ApiKeyList>
