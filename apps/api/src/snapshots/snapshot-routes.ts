import {
  BuildLogsQuery,
  CreateSnapshot,
  ListSnapshots,
  LogsUrl,
  SetSnapshotGeneral,
  Snapshot,
  SnapshotFromDirectory,
  SnapshotPage,
  ToggleSnapshot,
  UploadSnapshot,
} from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { PublicOrigin } from '../http/public-origin.ts'
import { withClient } from '../http/with-client.ts'
import { answerBuildLog } from './build-log-answer.ts'
import type { BuildLogs } from './build-logs.ts'
import type { SnapshotService } from './snapshot-service.ts'
import type { SnapshotUpload } from './snapshot-upload.ts'

export interface SnapshotRoutesOptions {
  snapshots: SnapshotService
  snapshotUpload: SnapshotUpload
  buildLogs: BuildLogs
  publicOrigin: PublicOrigin
}

const ById = Type.Object({ id: Type.String({ description: 'Id or name' }) })
const tags = ['snapshots']
const membership = { access: 'membership' } as const
const write = { access: 'write:snapshots' } as const
const administrator = { access: 'administratorInOrganization' } as const

/** Daytona's `/snapshots` (§9 of the contract), and Atoll's own ways to make one, over the snapshot service. */
export const snapshotRoutes: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, options) => {
  await app.register(creationRoutes, options)
  await app.register(uploadRoute, options)
  await app.register(readingRoutes, options)
  await app.register(changingRoutes, options)
  await app.register(buildLogRoutes, options)
}

const creationRoutes: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, { snapshots }) => {
  app.post(
    '/snapshots',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Begin to make a snapshot of an image or a Dockerfile' },
        ...{ body: CreateSnapshot, response: { 200: Snapshot } },
      },
    },
    ({ principal, body }) => snapshots.create(principal, body),
  )

  app.post(
    '/snapshots/directory',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: "Begin to make a snapshot of a folder on a runner's host; for administrators" },
        ...{ body: SnapshotFromDirectory, response: { 200: Snapshot } },
      },
    },
    ({ principal, body }) => snapshots.createFromDirectory(principal, body),
  )
}

const uploadRoute: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, { snapshotUpload }) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  app.post(
    '/snapshots/upload',
    {
      config: { ...write, proxied: true },
      schema: {
        ...{ tags, summary: 'Make a snapshot of a tar archive of a root folder; answers once it has arrived' },
        ...{ description: 'The body is the archive, plain or compressed with gzip.' },
        ...{ consumes: ['application/x-tar', 'application/gzip'] },
        ...{ querystring: UploadSnapshot, response: { 200: Snapshot } },
      },
    },
    (request) =>
      withClient(request, (signal) =>
        snapshotUpload(request.principal, request.query, { content: request.raw, signal }),
      ),
  )
}

const readingRoutes: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, { snapshots }) => {
  app.get(
    '/snapshots',
    {
      config: membership,
      schema: { tags, summary: 'List snapshots', querystring: ListSnapshots, response: { 200: SnapshotPage } },
    },
    ({ principal, query }) => snapshots.list(principal, query, 'visible'),
  )

  app.get(
    '/snapshots/:id',
    { config: membership, schema: { tags, summary: 'Get a snapshot', params: ById, response: { 200: Snapshot } } },
    ({ principal, params }) => snapshots.get(principal, params.id),
  )
}

const changingRoutes: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, { snapshots }) => {
  const one = { tags, params: ById }
  app.delete(
    '/snapshots/:id',
    {
      config: { access: 'delete:snapshots' },
      schema: { ...one, summary: 'Delete a snapshot; answers at once, with no body' },
    },
    async ({ principal, params }, reply) => {
      await snapshots.delete(principal, params.id)
      return reply.send()
    },
  )

  app.patch(
    '/snapshots/:id/toggle',
    {
      config: write,
      schema: { ...one, summary: 'Enable or disable', body: ToggleSnapshot, response: { 200: Snapshot } },
    },
    ({ principal, params, body }) => snapshots.setEnabled(principal, params.id, body.enabled),
  )

  const general = { summary: 'Offer it to every organization, or not; for administrators', body: SetSnapshotGeneral }
  app.patch(
    '/snapshots/:id/general',
    { config: administrator, schema: { ...one, ...general, response: { 200: Snapshot } } },
    ({ principal, params, body }) => snapshots.setGeneral(principal, params.id, body.general),
  )

  app.post(
    '/snapshots/:id/activate',
    { config: write, schema: { ...one, summary: 'Make an inactive snapshot active', response: { 200: Snapshot } } },
    ({ principal, params }) => snapshots.command(principal, params.id, 'activate'),
  )

  app.post(
    '/snapshots/:id/deactivate',
    {
      config: write,
      schema: {
        ...{ ...one, summary: 'Make an active snapshot inactive' },
        response: { 204: Type.Null({ description: 'Empty body' }) },
      },
    },
    async ({ principal, params }, reply) => {
      await snapshots.command(principal, params.id, 'deactivate')
      return reply.code(204).send(null)
    },
  )
}

const buildLogRoutes: FastifyPluginAsyncTypebox<SnapshotRoutesOptions> = async (app, options) => {
  const { snapshots, buildLogs, publicOrigin } = options
  app.get(
    '/snapshots/:id/build-logs',
    {
      config: membership,
      schema: { tags, summary: 'What the build printed', params: ById, querystring: BuildLogsQuery },
    },
    async (request, reply) => {
      const row = await snapshots.find(request.principal, request.params.id)
      return await answerBuildLog(request, reply, { logs: buildLogs, row })
    },
  )

  app.get(
    '/snapshots/:id/build-logs-url',
    {
      config: membership,
      schema: { tags, summary: 'Where the build logs are', params: ById, response: { 200: LogsUrl } },
    },
    async (request) => {
      const { id } = await snapshots.find(request.principal, request.params.id)
      return { url: `${publicOrigin(request)}/api/snapshots/${id}/build-logs` }
    },
  )
}
