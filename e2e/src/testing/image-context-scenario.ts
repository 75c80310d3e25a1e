import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call } from './shared-system.ts'

/** The size of a file that is uploaded in several parts. */
const LARGE_FILE_BYTES = 12 * 1024 ** 2

interface PushAccess {
  accessKey: string
  secret: string
  sessionToken: string
  storageUrl: string
  organizationId: string
  bucket: string
  region: string
}

export interface ImageContext {
  /** Uploads the paths that an image adds, with the SDK's code; returns the hashes of the contexts. */
  upload(paths: { folder: string; file: string }): Promise<string[]>
}

/** Tests the upload of an image's context with an SDK's own code. */
export function describeImageContext(title: string, context: ImageContext): void {
  describe(`the context of an image through ${title}`, () => {
    const parent = mkdtempSync(join(tmpdir(), 'atoll-e2e-context-'))
    const folder = join(parent, 'project')
    const file = join(parent, 'requirements.txt')
    const content = randomBytes(LARGE_FILE_BYTES)
    let access: PushAccess
    let s3: S3Client

    beforeAll(async () => {
      mkdirSync(join(folder, 'src'), { recursive: true })
      writeFileSync(join(folder, 'src/large.bin'), content)
      writeFileSync(join(folder, 'naïve name.txt'), 'text')
      writeFileSync(file, 'numpy\n')
      access = (await (await call('/object-storage/push-access')).json()) as PushAccess
      s3 = new S3Client({
        ...{ endpoint: access.storageUrl, region: access.region, forcePathStyle: true },
        credentials: {
          accessKeyId: access.accessKey,
          secretAccessKey: access.secret,
          sessionToken: access.sessionToken,
        },
      })
    })
    afterAll(() => {
      s3.destroy()
      rmSync(parent, { recursive: true })
    })

    const listed = async (hash: string) => {
      const Prefix = `${access.organizationId}/${hash}/`
      return (await s3.send(new ListObjectsV2Command({ Bucket: access.bucket, Prefix }))).Contents ?? []
    }

    it('is there, whole, in small and in several parts', async () => {
      const [folderHash = '', fileHash = ''] = await context.upload({ folder, file })
      const key = `${access.organizationId}/${folderHash}/context.tar`
      expect((await listed(folderHash)).map(({ Key }) => Key)).toEqual([key])
      const { Body, ETag } = await s3.send(new GetObjectCommand({ Bucket: access.bucket, Key: key }))
      expect(ETag).toMatch(/^"[0-9a-f]{32}-3"$/)
      const tar = join(parent, 'context.tar')
      writeFileSync(tar, (await Body?.transformToByteArray()) ?? '')
      const name = join(folder, 'src/large.bin').slice(1)
      const limits = { maxBuffer: 2 * LARGE_FILE_BYTES }
      expect(execFileSync('tar', ['-xOf', tar, name], limits).equals(content)).toBe(true)
      expect((await listed(fileHash))[0]?.Size).toBeGreaterThan(512)
    })

    it('is not uploaded again when nothing has changed', async () => {
      const [folderHash = '', fileHash = ''] = await context.upload({ folder, file })
      const before = [...(await listed(folderHash)), ...(await listed(fileHash))]
      expect(await context.upload({ folder, file })).toEqual([folderHash, fileHash])
      expect([...(await listed(folderHash)), ...(await listed(fileHash))]).toEqual(before)
      writeFileSync(file, 'numpy\npandas\n')
      expect((await context.upload({ folder, file }))[1]).not.toBe(fileHash)
    })
  })
}
