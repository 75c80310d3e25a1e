import { once } from 'node:events'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { ErrorBody } from '@atoll/protocol'
import { StorageAccess } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'

const KEYS = { accessKeyId: 'AKID', secretAccessKey: 'hunter2-secret' }

/** A token service that can only AssumeRole. */
let sts: Server
let stsEndpoint: string
let calls: { authorization: string; parameters: URLSearchParams }[]
let isRefusing: boolean

beforeEach(async () => {
  calls = []
  isRefusing = false
  sts = createServer((request, response) => {
    void text(request).then((body) => {
      calls.push({ authorization: request.headers.authorization ?? '', parameters: new URLSearchParams(body) })
      response.writeHead(isRefusing ? 403 : 200, { 'content-type': 'text/xml' })
      response.end(
        isRefusing
          ? '<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>'
          : `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
             <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>session-secret</SecretAccessKey>
             <SessionToken>session-token</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>
             </Credentials></AssumeRoleResult></AssumeRoleResponse>`,
      )
    })
  }).listen(0, '127.0.0.1')
  await once(sts, 'listening')
  stsEndpoint = `http://127.0.0.1:${(sts.address() as AddressInfo).port}`
})
afterEach(async () => {
  sts.closeAllConnections()
  sts.close()
  await once(sts, 'close')
})

async function ask(roleArn: string | undefined) {
  const endpoint = 'https://s3.example.org'
  const s3 = { bucket: 'images', endpoint, region: 'eu-central-1', roleArn, stsEndpoint }
  await using api = await createTestApi({ config: { s3 }, secrets: { s3: KEYS } })
  const { headers, organizationId } = await api.createPrincipal()
  const answer = await api.app.inject({ url: '/api/object-storage/push-access', headers })
  const endpointAnswer = await api.app.inject({ url: '/api/s3/atoll' })
  return { status: answer.statusCode, body: answer.json(), organizationId, endpointStatus: endpointAnswer.statusCode }
}

describe('push access without S3 configured', () => {
  it('is to the endpoint of this server, and another for each call', async () => {
    await using api = await createTestApi()
    const { headers, organizationId } = await api.createPrincipal({ permissions: [] })
    const url = '/api/object-storage/push-access'
    const [first, second] = [await api.app.inject({ url, headers }), await api.app.inject({ url, headers })]
    expect(first.statusCode).toBe(200)
    expect(Value.Check(StorageAccess, first.json())).toBe(true)
    expect(first.json()).toMatchObject({ organizationId, bucket: 'atoll', region: 'us-east-1' })
    for (const field of ['accessKey', 'secret', 'sessionToken'])
      expect(first.json()[field]).not.toBe(second.json()[field])
    expect((await api.app.inject({ url })).statusCode).toBe(401)
  })
})

describe('push access to S3', () => {
  it('is the role for an hour, narrowed to the objects of the organization', async () => {
    const { status, body, organizationId, endpointStatus } = await ask('arn:aws:iam::1:role/uploads')
    expect([status, endpointStatus]).toEqual([200, 404])
    expect(Value.Check(StorageAccess, body)).toBe(true)
    expect(body).toEqual({
      ...{ accessKey: 'ASIA1', secret: 'session-secret', sessionToken: 'session-token', organizationId },
      ...{ storageUrl: 'https://s3.example.org', bucket: 'images', region: 'eu-central-1' },
    })
    expect(calls).toHaveLength(1)
    const [{ authorization, parameters } = { authorization: '', parameters: new URLSearchParams() }] = calls
    expect(authorization).toContain('Credential=AKID/')
    expect(Object.fromEntries(parameters)).toMatchObject({
      ...{ Action: 'AssumeRole', RoleArn: 'arn:aws:iam::1:role/uploads', DurationSeconds: '3600' },
    })
    const { Statement: statements } = JSON.parse(parameters.get('Policy') ?? '{}')
    expect(statements).toMatchObject([
      { Effect: 'Allow', Resource: [`arn:aws:s3:::images/${organizationId}/*`] },
      {
        ...{ Effect: 'Allow', Action: ['s3:ListBucket'], Resource: ['arn:aws:s3:::images'] },
        Condition: { StringLike: { 's3:prefix': [`${organizationId}/*`] } },
      },
    ])
  })

  it('says what it takes when there is no role', async () => {
    const { status, body } = await ask(undefined)
    expect([status, (body as ErrorBody).message]).toEqual([400, expect.stringContaining('ATOLL_S3_ROLE_ARN')])
    expect(calls).toEqual([])
  })

  it('is 502 when the token service refuses, without a secret', async () => {
    isRefusing = true
    const { status, body } = await ask('arn:aws:iam::1:role/uploads')
    expect([status, (body as ErrorBody).message]).toEqual([502, 'The token service of S3 refused to give credentials'])
    expect(JSON.stringify(body)).not.toContain('hunter2')
  })
})
