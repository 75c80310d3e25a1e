import type { StorageAccess } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestApi } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { describeObjectStore } from './object-store-conformance.ts'
import type { S3Objects } from './s3-objects.ts'
import { createS3Objects } from './s3-objects.ts'

let api: TestApi
let url: string
let access: StorageAccess
let store: S3Objects
let scopes = 0

beforeAll(async () => {
  api = await createTestApi()
  url = await api.listen()
  const { headers } = await api.createPrincipal()
  const answer = await fetch(`${url}/api/object-storage/push-access`, { headers })
  access = (await answer.json()) as StorageAccess
  store = createS3Objects({
    config: { bucket: access.bucket, endpoint: access.storageUrl, region: access.region },
    secrets: { accessKeyId: access.accessKey, secretAccessKey: access.secret, sessionToken: access.sessionToken },
  })
})
afterAll(async () => {
  store[Symbol.dispose]()
  await api[Symbol.asyncDispose]()
})

/** Returns a new scope. The credentials are for one organization, so each test has a folder below it. */
async function newScope(): Promise<string> {
  scopes += 1
  return `${access.organizationId}/${scopes}`
}

describe('objects in S3, which here is the endpoint of the API itself', () => {
  describeObjectStore(() => ({ store, newScope }))

  it('are below the path of the API that push access names', () => {
    expect(access).toMatchObject({ storageUrl: `${url}/api/s3`, bucket: 'atoll', region: 'us-east-1' })
  })
})
