import { CreateUser, User, UserEntity } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { UserService } from './user-service.ts'

export interface UserRoutesOptions {
  users: UserService
}

const ById = Type.Object({ id: Type.String() })
const tags = ['users']
const administrator = { access: 'administrator' } as const

/** Serves users: §5 of the contract. */
export const userRoutes: FastifyPluginAsyncTypebox<UserRoutesOptions> = async (app, { users }) => {
  app.get(
    '/users/me',
    { config: { access: 'caller' }, schema: { tags, summary: 'Get who calls', response: { 200: User } } },
    ({ caller }) => users.me(caller),
  )

  app.get(
    '/users',
    { config: administrator, schema: { tags, summary: 'List all users', response: { 200: Type.Array(UserEntity) } } },
    () => users.list(),
  )

  const summary = 'Make a user, with an organization of their own'
  app.post(
    '/users',
    { config: administrator, schema: { tags, summary, body: CreateUser, response: { 201: UserEntity } } },
    async ({ body }, reply) => reply.code(201).send(await users.create(body)),
  )

  app.get(
    '/users/:id',
    { config: administrator, schema: { tags, summary: 'Get a user', params: ById, response: { 200: UserEntity } } },
    ({ params }) => users.get(params.id),
  )

  const keySummary = 'Give a user a new RSA key pair'
  app.post(
    '/users/:id/regenerate-key-pair',
    { config: administrator, schema: { tags, summary: keySummary, params: ById, response: { 201: UserEntity } } },
    async ({ params }, reply) => reply.code(201).send(await users.regenerateKeyPair(params.id)),
  )
}
