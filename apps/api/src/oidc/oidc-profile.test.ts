import { MAX_EMAIL_LENGTH, MAX_USER_NAME_LENGTH } from '@atoll/protocol'
import { expect, test } from 'vitest'
import { toProfile } from './oidc-profile.ts'

test('an email address that is too long is none, rather than the beginning of another', () => {
  const email = `${'x'.repeat(MAX_EMAIL_LENGTH)}.example.org`
  expect(toProfile({ email, email_verified: true })).toMatchObject({ email: undefined, emailVerified: false })
  const longest = 'x'.repeat(MAX_EMAIL_LENGTH)
  expect(toProfile({ email: longest, email_verified: 'true' })).toMatchObject({ email: longest, emailVerified: true })
})

test('a name that is too long is cut, and one that is none gives way to the next', () => {
  expect(toProfile({ name: 7, username: ' \0', preferred_username: 'n'.repeat(MAX_USER_NAME_LENGTH + 1) }).name).toBe(
    'n'.repeat(MAX_USER_NAME_LENGTH),
  )
  expect(toProfile({}).name).toBe('Unknown')
})
