import type { ChildProcessByStdio } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { withDeadline } from './probe-server.ts'

const run = promisify(execFile)
const START_DEADLINE_MS = 60_000
/** Most characters of its output until it listens. */
const MAX_START_CHARACTERS = 100_000

export interface TestImage {
  /** Tar archives, lowest first. */
  layers: Buffer[]
  /** Configuration of the image: Env, Entrypoint, … */
  config?: object
}

/** A real registry on loopback. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:5000`. */
  readonly host: string
  /** Puts an image into the registry; `name` is its reference without the registry: `tiny:1`. */
  push(name: string, image: TestImage): Promise<void>
}

/** Starts Debian's docker-registry, which requires credentials where some are given. */
export async function startTestRegistry(credentials?: { username: string; password: string }): Promise<TestRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-registry-'))
  const auth = credentials === undefined ? '' : await htpasswd(folder, credentials)
  const storage = `{ filesystem: { rootdirectory: ${folder}/data }, delete: { enabled: true } }`
  await writeFile(
    join(folder, 'config.yml'),
    `version: 0.1\nlog: { level: info }\nstorage: ${storage}\nhttp: { addr: "127.0.0.1:0" }\n${auth}`,
  )
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const host = await listening(child)
  return {
    host,
    push: async (name, image) => {
      const layout = await mkdtemp(join(folder, 'layout-'))
      await writeLayout(layout, image)
      const login = credentials === undefined ? [] : ['--dest-creds', `${credentials.username}:${credentials.password}`]
      const target = ['--dest-tls-verify=false', ...login, `oci:${layout}:image`, `docker://${host}/${name}`]
      await run('skopeo', ['--insecure-policy', 'copy', ...target])
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function htpasswd(folder: string, { username, password }: { username: string; password: string }) {
  const program = 'import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH)))'
  const { stdout } = await run('python3', ['-W', 'ignore', '-c', program, password])
  await writeFile(join(folder, 'htpasswd'), `${username}:${stdout.trim()}\n`)
  return `auth: { htpasswd: { realm: test, path: ${folder}/htpasswd } }\n`
}

/** Returns the address from the registry's output: it listens on a port that the kernel picked. */
async function listening(child: ChildProcessByStdio<null, null, Readable>): Promise<string> {
  return withDeadline(START_DEADLINE_MS, 'the registry does not listen', (resolve) => {
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      // Only the start of the output is kept; the rest is read so that the registry can go on writing.
      if (said.length < MAX_START_CHARACTERS) said += text
      const host = /listening on (127\.0\.0\.1:\d+)\W/.exec(said)?.[1]
      if (host !== undefined) resolve(host)
    })
  })
}

async function writeLayout(folder: string, { layers, config = {} }: TestImage): Promise<void> {
  const blobs = join(folder, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (content: Buffer, mediaType: string) => {
    const hash = createHash('sha256').update(content).digest('hex')
    await writeFile(join(blobs, hash), content)
    return { mediaType, digest: `sha256:${hash}`, size: content.length }
  }
  const json = (value: object, type: string) =>
    put(Buffer.from(JSON.stringify(value)), `application/vnd.oci.image.${type}.v1+json`)
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const diffIds = layers.map((layer) => `sha256:${createHash('sha256').update(layer).digest('hex')}`)
  const described = { architecture, os: 'linux', config, rootfs: { type: 'layers', diff_ids: diffIds } }
  const packed: object[] = []
  for (const layer of layers) packed.push(await put(gzipSync(layer), 'application/vnd.oci.image.layer.v1.tar+gzip'))
  const manifest = { schemaVersion: 2, config: await json(described, 'config'), layers: packed }
  const index = await json({ ...manifest, mediaType: 'application/vnd.oci.image.manifest.v1+json' }, 'manifest')
  const named = { ...index, annotations: { 'org.opencontainers.image.ref.name': 'image' } }
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}
