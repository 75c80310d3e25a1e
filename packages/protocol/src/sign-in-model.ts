import type { Static } from 'typebox'
import { Type } from 'typebox'
import { MAX_EMAIL_LENGTH } from './user-model.ts'

/** Bounds of a password, in UTF-16 code units. */
export const MIN_PASSWORD_LENGTH = 10
export const MAX_PASSWORD_LENGTH = 1024

const NewPassword = Type.String({ minLength: MIN_PASSWORD_LENGTH, maxLength: MAX_PASSWORD_LENGTH })
// A given password has no minimum length: a bound would tell what a right one looks like.
const GivenPassword = Type.String({ maxLength: MAX_PASSWORD_LENGTH })
const Login = Type.String({ minLength: 1, maxLength: MAX_EMAIL_LENGTH, description: 'In any case' })
const RefreshTokenText = Type.String({ maxLength: 256 })

/** Body of `POST /auth/sign-in`. */
export const SignIn = Type.Object({ login: Login, password: GivenPassword })
export type SignIn = Static<typeof SignIn>

/** Body of `POST /auth/refresh` and `POST /auth/sign-out`. */
export const RefreshToken = Type.Object({ refreshToken: RefreshTokenText })
export type RefreshToken = Static<typeof RefreshToken>

/** Answer of a sign-in and of each refresh. */
export const SignedIn = Type.Object(
  {
    userId: Type.String(),
    accessToken: Type.String({ description: 'For `Authorization: Bearer`' }),
    tokenType: Type.Enum(['Bearer']),
    expiresIn: Type.Integer({ description: 'Seconds until the access token ends' }),
    refreshToken: Type.String({ description: 'Good for one refresh; using it twice ends the sign-in' }),
    refreshTokenExpiresAt: Type.String({ format: 'date-time', description: 'When the sign-in ends at the latest' }),
  },
  { $id: 'SignedIn' },
)
export type SignedIn = Static<typeof SignedIn>

/** Body of `PUT /auth/password`. */
export const ChangePassword = Type.Object({ currentPassword: GivenPassword, password: NewPassword })
export type ChangePassword = Static<typeof ChangePassword>

/** Body of `PUT /auth/users/{userId}/password`. */
export const SetPassword = Type.Object({
  password: NewPassword,
  login: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_EMAIL_LENGTH,
      description: "Absent: the one there is, else the user's email address, else their id",
    }),
  ),
})
export type SetPassword = Static<typeof SetPassword>

/** Keys that verify access tokens: a JSON Web Key Set (RFC 7517). */
export const JsonWebKeySet = Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) })
