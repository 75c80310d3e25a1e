import { ChangePassword, JsonWebKeySet, RefreshToken, SetPassword, SignedIn, SignIn } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { requestSource } from '../http/request-source.ts'
import type { PasswordService } from './password-service.ts'
import type { SignInCall, SignInService } from './sign-in-service.ts'
import type { SigningKeys } from './signing-keys.ts'

export interface SignInRoutesOptions {
  signIns: SignInService
  passwords: PasswordService
  signingKeys: SigningKeys
}

const ByUser = Type.Object({ userId: Type.String() })
const tags = ['auth']

/** How long a client may cache the keys that verify access tokens, in seconds. */
const KEYS_MAX_AGE_S = 300

/**
 * Serves sign-in, refresh and sign-out without a credential. These are Atoll's own routes, not in the Daytona contract.
 * Register `audited` before them.
 */
export const signInRoutes: FastifyPluginAsyncTypebox<SignInRoutesOptions> = async (app, options) => {
  const { signIns, signingKeys } = options
  const summary = 'Sign in with a password'
  app.post(
    '/auth/sign-in',
    { schema: { tags, summary, body: SignIn, response: { 200: SignedIn } } },
    async (request, reply) =>
      reply.header('cache-control', 'no-store').send(await signIns.signIn(request.body, callOf(request))),
  )

  app.post(
    '/auth/refresh',
    {
      schema: { tags, summary: 'Get a new access token', body: RefreshToken, response: { 200: SignedIn } },
    },
    async (request, reply) =>
      reply.header('cache-control', 'no-store').send(await signIns.refresh(request.body.refreshToken, callOf(request))),
  )

  app.post(
    '/auth/sign-out',
    { schema: { tags, summary: 'End a sign-in; its access tokens work no more at once', body: RefreshToken } },
    async (request, reply) => {
      await signIns.signOut(request.body.refreshToken, callOf(request))
      return reply.code(204).send()
    },
  )

  app.get(
    '/auth/jwks.json',
    { schema: { tags, summary: 'The keys that verify access tokens', response: { 200: JsonWebKeySet } } },
    async (_request, reply) =>
      reply.header('cache-control', `public, max-age=${KEYS_MAX_AGE_S}`).send(await signingKeys.published()),
  )
}

function callOf({ ip, audit }: FastifyRequest): SignInCall {
  return {
    source: requestSource(ip),
    onAccount(userId) {
      if (audit !== undefined) audit.actorId = userId
    },
  }
}

/** Serves changes of one's own password, and of any password for administrators. */
export const passwordRoutes: FastifyPluginAsyncTypebox<SignInRoutesOptions> = async (app, { passwords }) => {
  const summary = 'Change your own password; all your sign-ins end'
  app.put(
    '/auth/password',
    { config: { access: 'caller' }, schema: { tags, summary, body: ChangePassword } },
    async ({ caller, body, ip }, reply) => {
      await passwords.change(caller, body, requestSource(ip))
      return reply.code(204).send()
    },
  )

  const setSummary = 'Give a user a password; all their sign-ins end'
  app.put(
    '/auth/users/:userId/password',
    { config: { access: 'administrator' }, schema: { tags, summary: setSummary, params: ByUser, body: SetPassword } },
    async ({ params, body }, reply) => {
      await passwords.set(params.userId, body)
      return reply.code(204).send()
    },
  )
}
