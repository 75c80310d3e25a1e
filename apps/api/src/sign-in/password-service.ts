import type { ChangePassword, SetPassword } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Caller } from '../auth/principal.ts'
import type { Database } from '../database/database.ts'
import { userNotFound } from '../users/user-service.ts'
import { createUserStore } from '../users/user-store.ts'
import { toLogin } from './login-name.ts'
import type { PasswordHasher } from './password-hasher.ts'
import type { SignInLimits } from './sign-in-limits.ts'
import { createSignInStore } from './sign-in-store.ts'

/** Sets the passwords of users. */
export interface PasswordService {
  /**
   * Changes the caller's password and ends all their sign-ins. Throws FORBIDDEN when the current password is wrong or
   * there is none, and RATE_LIMITED as a sign-in does. `source` is the caller's address.
   */
  change(caller: Caller, given: ChangePassword, source: string): Promise<void>
  /** Sets a user's password and ends all their sign-ins. Throws USER_NOT_FOUND and LOGIN_NAME_TAKEN. */
  set(userId: string, given: SetPassword): Promise<void>
}

export function createPasswordService(options: {
  database: Database
  hasher: PasswordHasher
  limits: SignInLimits
}): PasswordService {
  const { database, hasher, limits } = options
  const store = createSignInStore(database.db)

  async function replace(row: { userId: string; login: string; password: string }): Promise<void> {
    const { userId, login, password } = row
    const passwordHash = await hasher.hash(password)
    await database.transaction(async (tx) => {
      const signIns = createSignInStore(tx)
      if (!(await signIns.putPassword({ userId, login, passwordHash }))) {
        throw new AppError('LOGIN_NAME_TAKEN', `The login ${login} is another user's`)
      }
      await signIns.endAll(userId)
    })
  }

  return {
    async change({ userId }, { currentPassword, password }, source) {
      const row = await store.findPassword({ userId })
      if (row === undefined) throw new AppError('FORBIDDEN', 'You have no password; an administrator can set one')
      await limits.attempt(row.login, source)
      if (!(await hasher.verify(row.passwordHash, currentPassword))) {
        throw new AppError('FORBIDDEN', 'The current password is wrong')
      }
      await limits.succeeded(row.login, source)
      await replace({ userId, login: row.login, password })
    },
    async set(userId, { password, login }) {
      const user = await createUserStore(database.db).find(userId)
      if (user === undefined) throw userNotFound(userId)
      const former = await store.findPassword({ userId })
      const wanted = toLogin(login ?? former?.login ?? (user.email === '' ? user.id : user.email))
      if (wanted === '') throw new AppError('VALIDATION_FAILED', 'body.login must not be blank')
      await replace({ userId, login: wanted, password })
    },
  }
}
