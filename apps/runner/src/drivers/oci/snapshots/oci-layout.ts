import { createHash } from 'node:crypto'
import { lstat, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImageConfig } from '@atoll/protocol'
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { SnapshotError } from './make-context.ts'

/** Largest description of an image, in bytes. */
const MAX_JSON_BYTES = 8 * 1024 * 1024
/** Most layers of an image; container engines allow fewer. */
const MAX_IMAGE_LAYERS = 256
/** Most variables that an image may set. */
const MAX_VARIABLES = 1_000

const Digest = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' })
const Descriptor = Type.Object({ digest: Digest, size: Type.Integer({ minimum: 0 }) })
const Index = Type.Object({ manifests: Type.Array(Descriptor, { minItems: 1, maxItems: 1 }) })
const Manifest = Type.Object({ config: Descriptor, layers: Type.Array(Descriptor, { maxItems: MAX_IMAGE_LAYERS }) })
const Strings = Type.Union([Type.Array(Type.String()), Type.Null()])
const Config = Type.Object({
  config: Type.Optional(
    Type.Object({
      Entrypoint: Type.Optional(Strings),
      Cmd: Type.Optional(Strings),
      Env: Type.Optional(Strings),
      WorkingDir: Type.Optional(Type.String()),
      User: Type.Optional(Type.String()),
    }),
  ),
})

/** An image in a folder with the OCI image layout. */
export interface ImageLayout {
  /** Digest of the manifest. */
  digest: string
  config: ImageConfig
  /** Lowest first. */
  layers: { digest: string; path: string; size: number }[]
}

/**
 * Reads the one image of a layout, checking each description against its digest. The layout does not change meanwhile.
 * Throws SnapshotError for a folder that is no such layout.
 */
export async function readImageLayout(folder: string): Promise<ImageLayout> {
  const blob = (digest: string) => plainFile(folder, ['blobs', 'sha256', digest.slice('sha256:'.length)])
  const index = await readJson(await plainFile(folder, ['index.json']), Index)
  const [{ digest } = { digest: '' }] = index.manifests
  const manifest = await readJson(await blob(digest), Manifest, digest)
  const config = await readJson(await blob(manifest.config.digest), Config, manifest.config.digest)
  const layers: ImageLayout['layers'] = []
  for (const layer of manifest.layers) {
    layers.push({ digest: layer.digest, size: layer.size, path: await blob(layer.digest) })
  }
  return { digest, config: imageConfig(config.config ?? {}), layers }
}

/**
 * Returns the path of a layout's file, and throws unless it is an ordinary file. A build's steps may have put anything there:
 * a link would lead to the host's files, opening a pipe would never return, reading a device would never end.
 */
async function plainFile(folder: string, names: readonly string[]): Promise<string> {
  let path = folder
  for (const [index, name] of names.entries()) {
    path = join(path, name)
    const found = await lstat(path).catch((cause: unknown) => {
      throw notWhole(cause)
    })
    const isLast = index === names.length - 1
    if (isLast ? !found.isFile() : !found.isDirectory()) throw notWhole()
  }
  return path
}

function notWhole(cause?: unknown): SnapshotError {
  return new SnapshotError('the image is not whole', { cause })
}

function imageConfig(config: NonNullable<Static<typeof Config>['config']>): ImageConfig {
  const env = (config.Env ?? []).slice(0, MAX_VARIABLES).flatMap((line) => {
    const equals = line.indexOf('=')
    return equals > 0 ? [[line.slice(0, equals), line.slice(equals + 1)] as const] : []
  })
  const workDir = config.WorkingDir ?? ''
  return {
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    env: Object.fromEntries(env),
    workDir: workDir.startsWith('/') ? workDir : '',
    user: config.User ?? '',
  }
}

async function readJson<Schema extends TSchema>(
  path: string,
  schema: Schema,
  digest?: string,
): Promise<Static<Schema>> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw notWhole(cause)
  })
  try {
    if ((await file.stat()).size > MAX_JSON_BYTES) throw new SnapshotError("the image's description is too long")
    const text = await file.readFile()
    if (digest !== undefined && `sha256:${createHash('sha256').update(text).digest('hex')}` !== digest) {
      throw new SnapshotError("the image's description does not have its digest")
    }
    const value: unknown = JSON.parse(text.toString('utf8'))
    if (Value.Check(schema, value)) return value
  } catch (cause) {
    throw cause instanceof SnapshotError
      ? cause
      : new SnapshotError("the image's description cannot be read", { cause })
  } finally {
    await file.close()
  }
  throw new SnapshotError("the image's description is not one this runner understands")
}
