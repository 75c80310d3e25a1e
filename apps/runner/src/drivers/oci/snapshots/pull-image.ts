import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RegistryAccess } from '@atoll/protocol'
import { isThere } from '../../../files.ts'
import { readImage } from './image-layers.ts'
import { parseImageReference } from './image-reference.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { SnapshotError } from './make-context.ts'
import { runLogged } from './run-logged.ts'

/** How often the size of the fetched files is checked, in milliseconds. */
const SIZE_INTERVAL_MS = 500
const POLICY_PATH = '/etc/containers/policy.json'

export interface PullRequest {
  reference: string
  registries?: readonly RegistryAccess[] | undefined
}

/** Fetches an image for this host's architecture, and unpacks it. Throws SnapshotError, with skopeo's error output. */
export async function pullImage(context: MakeContext, request: PullRequest): Promise<SnapshotContent> {
  const draft = await context.layers.draft()
  try {
    const layout = join(draft.scratch, 'image')
    await fetchImage(context, { ...request, layout, scratch: draft.scratch })
    return await readImage(context, layout, { isChecked: true })
  } finally {
    await draft.discard()
  }
}

/** Fetches an image as a layout; skopeo checks blobs against their digests. Credentials are in a file in `scratch`. */
export async function fetchImage(
  context: MakeContext,
  { reference, registries = [], layout, scratch }: PullRequest & { layout: string; scratch: string },
): Promise<void> {
  const { name, isLoopback } = parseImageReference(reference)
  const auths = join(scratch, 'auths.json')
  const temporary = join(scratch, 'tmp')
  await mkdir(temporary, { recursive: true })
  await writeFile(auths, JSON.stringify({ auths: Object.fromEntries(registries.map(authEntry)) }), { mode: 0o600 })
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const policy = (await isThere(POLICY_PATH)) ? [] : ['--insecure-policy']
  const platform = ['--override-os=linux', `--override-arch=${architecture}`, `--tmpdir=${temporary}`]
  // The file is passed even without credentials, so that those of this host's administrator are never used.
  const access = [`--src-authfile=${auths}`, ...(isLoopback ? ['--src-tls-verify=false'] : [])]
  context.log.append(`fetching ${name}`)
  await using _ = watchSize(scratch, context)
  await runLogged(context, {
    argv: ['skopeo', ...policy, ...platform, 'copy', ...access, `docker://${name}`, `oci:${layout}:image`],
    env: { HOME: temporary, TMPDIR: temporary },
    secrets: registries.map((registry) => registry.password),
  })
}

function authEntry({ host, username, password }: RegistryAccess) {
  return [host, { auth: Buffer.from(`${username}:${password}`).toString('base64') }] as const
}

/** Gives the making up when a folder exceeds `maxBytes`. */
function watchSize(folder: string, context: MakeContext): AsyncDisposable {
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    void sizeOf(folder)
      .then((bytes) => {
        if (bytes > context.maxBytes)
          context.giveUp(new SnapshotError(`it takes more than ${(context.maxBytes / 1024 ** 3).toFixed(2)} GiB`))
      })
      .finally(() => {
        isLooking = false
      })
  }, SIZE_INTERVAL_MS)
  return { [Symbol.asyncDispose]: async () => clearInterval(timer) }
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map((file) =>
      stat(join(file.parentPath, file.name)).then(
        (found) => found.size,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
