import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import type { TestRegistry } from '../../testing/test-registry.ts'
import { startTestRegistry } from '../../testing/test-registry.ts'
import { packTinyRoot, writeTinyRoot } from '../../testing/tiny-root.ts'

const run = promisify(execFile)
const CREDENTIALS = { username: 'someone', password: 'a-password-of-a-test' }

let harness: SnapshotHarness
let registry: TestRegistry
let closed: TestRegistry
let tiny: Buffer

beforeAll(async () => {
  ;[harness, registry, closed] = await Promise.all([
    createSnapshotHarness({ network: 'auto' }),
    startTestRegistry(),
    startTestRegistry(CREDENTIALS),
  ])
  await writeTinyRoot(join(harness.directory, 'root'))
  tiny = await packTinyRoot(join(harness.directory, 'root'))
  const over = join(harness.directory, 'over')
  await mkdir(join(over, 'data'), { recursive: true })
  for (const name of ['.wh.greeting', 'data/.wh..wh..opq', 'data/new']) await writeFile(join(over, name), '')
  const { stdout } = await run('tar', ['-c', '-C', over, '.'], { encoding: 'buffer' })
  const config = {
    Env: ['PATH=/bin', 'GREETING=from the image', 'HOME=/elsewhere'],
    Entrypoint: ['/bin/sleep'],
    Cmd: ['1000'],
    WorkingDir: '/data',
    User: '1000:1000',
  }
  await registry.push('some/tiny:1', { layers: [tiny], config })
  await registry.push('some/over:1', { layers: [tiny, stdout] })
  await closed.push('secret/tiny:1', { layers: [tiny] })
})
afterAll(async () => {
  await harness?.[Symbol.asyncDispose]()
  await registry?.[Symbol.asyncDispose]()
  await closed?.[Symbol.asyncDispose]()
})

const imageOf = (reference: string, password?: string) => ({
  source: {
    kind: 'image' as const,
    reference,
    ...(password === undefined ? {} : { registries: [{ host: closed.host, ...CREDENTIALS, password }] }),
  },
})

describe('a snapshot of an image', () => {
  it('has its files and runs as it says', async () => {
    const made = await harness.settled('tiny', imageOf(`${registry.host}/some/tiny:1`))
    expect(made).toMatchObject({ state: 'active', kind: 'image', digest: expect.stringMatching(/^sha256:/) })
    expect(made.image).toEqual({
      entrypoint: ['/bin/sleep'],
      cmd: ['1000'],
      env: { PATH: '/bin', GREETING: 'from the image', HOME: '/elsewhere' },
      workDir: '/data',
      user: '1000:1000',
    })
    const { environment } = await harness.startSandbox('tiny-1', { snapshot: 'tiny' })
    expect(environment).toMatchObject({
      HOME: '/home/daytona',
      ATOLL_ENV_GREETING: 'from the image',
      ATOLL_ENTRYPOINT: '["/bin/sleep","1000"]',
      ATOLL_WORK_DIR: '/data',
    })
    expect(environment['ATOLL_ENV_PATH']).toContain(':/bin:')
    expect(environment).not.toHaveProperty('ATOLL_ENV_HOME')
    const none = await harness.startSandbox('tiny-2', { snapshot: 'tiny', entrypoint: [] })
    expect(none.environment).not.toHaveProperty('ATOLL_ENTRYPOINT')
  })

  it('shares its layers with others, and deletes what they say is deleted', async () => {
    const layers = () => readdir(join(harness.dataDir, 'layers'))
    const before = await layers()
    expect(await harness.settled('over', imageOf(`${registry.host}/some/over:1`))).toMatchObject({ state: 'active' })
    expect(await harness.log('over')).toContain('is here already')
    // Two layers are new: the one over the shared layer, and the one with accounts.
    expect((await layers()).length).toBe(before.length + 2)
    const sandbox = await harness.startSandbox('over-1', { snapshot: 'over' })
    expect((await sandbox.exec('ls / /data')).stdout).not.toMatch(/greeting|old/)
    expect((await sandbox.exec('ls /data')).stdout).toBe('new\n')
  })

  it('of very many layers becomes one of few, in which what was deleted is not', async () => {
    const folder = join(harness.directory, 'many')
    await mkdir(folder)
    const layers = [tiny]
    for (let number = 0; number < 40; number += 1) {
      await run(
        'sh',
        ['-c', `rm -f .wh.* file-*; echo ${number} >file-${number}; [ ${number} = 0 ] || : >.wh.file-${number - 1}`],
        { cwd: folder },
      )
      layers.push((await run('tar', ['-c', '-C', folder, '.'], { encoding: 'buffer' })).stdout)
    }
    await registry.push('some/many:1', { layers })
    expect(await harness.settled('many', imageOf(`${registry.host}/some/many:1`))).toMatchObject({ state: 'active' })
    expect(await harness.log('many')).toContain('making one of 41 layers')
    const sandbox = await harness.startSandbox('many-1', { snapshot: 'many' })
    expect((await sandbox.exec('cat /file-* /greeting')).stdout).toBe('39\nhello\n')
  })

  it('needs the right credentials, which are told nobody', async () => {
    const reference = `${closed.host}/secret/tiny:1`
    expect(await harness.settled('open', imageOf(reference))).toMatchObject({ state: 'error' })
    expect((await harness.settled('wrong', imageOf(reference, 'another-password'))).reason).toMatch(
      /unauthorized|authentication/,
    )
    expect(await harness.settled('right', imageOf(reference, CREDENTIALS.password))).toMatchObject({ state: 'active' })
    for (const ref of ['right', 'wrong']) {
      const told =
        (await harness.log(ref)) + (await readFile(join(harness.dataDir, 'refs', ref, 'snapshot.json'), 'utf8'))
      expect(told).not.toMatch(/another-password|a-password-of-a-test/)
    }
    // A source with other credentials is the same source.
    expect(await harness.driver.snapshots.make('right', imageOf(reference, 'new'))).toMatchObject({ state: 'active' })
    const { stdout } = await run('grep', ['-rlF', CREDENTIALS.password, harness.dataDir]).catch(() => ({ stdout: '' }))
    expect(stdout).toBe('')
  })

  it('fails with the reason when there is none, or it is too large', async () => {
    expect((await harness.settled('absent', imageOf(`${registry.host}/some/absent:1`))).reason).toContain(
      'manifest unknown',
    )
    expect((await harness.settled('down', imageOf('127.0.0.1:1/a:1'))).reason).toContain('connection refused')
    const large = { ...imageOf(`${registry.host}/some/tiny:1`), maxSizeGiB: 0.0005 }
    expect((await harness.settled('large', large)).reason).toContain('takes more than')
    expect((await harness.settled('metadata', imageOf('169.254.169.254/a:1'))).reason).toContain('is no registry')
    expect((await harness.settled('odd', imageOf('a//b:1'))).reason).toContain('is not the name of an image')
  })
})

describe('a snapshot of a build', () => {
  const build = (ref: string, dockerfile: string, context?: Buffer) => {
    const making = harness.driver.snapshots.make(ref, {
      source: {
        kind: 'build',
        dockerfile,
        hasContext: context !== undefined,
        limits: { cpu: 1, memoryGiB: 0.5, diskGiB: 1 },
      },
    })
    return making
      .then(() => context && harness.driver.snapshots.takeContent(ref, Readable.from([context])))
      .then(() => harness.settled(ref))
  }

  it('has what its steps made, over an image and from a context', async () => {
    const folder = join(harness.directory, 'context')
    await mkdir(folder)
    await writeFile(join(folder, 'secret-mode'), 'copied\n', { mode: 0o600 })
    const { stdout: context } = await run('tar', ['-c', '-C', folder, '.'], { encoding: 'buffer' })
    const dockerfile = `ARG NAME=tiny
FROM ${registry.host}/some/\${NAME}:1
USER 0
COPY secret-mode /copied
RUN echo built >/built && id
ENV WHO=build
`
    const states: string[] = []
    const unsubscribe = harness.driver.snapshots.onChange(
      ({ ref, state }) => void (ref === 'built' && states.push(state)),
    )
    const made = await build('built', dockerfile, context)
    unsubscribe()
    const log = await harness.log('built')
    expect(made, log).toMatchObject({ state: 'active', kind: 'build' })
    expect(states).toEqual(['pulling', 'building', 'validating', 'active'])
    expect(made.image).toMatchObject({ env: { WHO: 'build', GREETING: 'from the image' }, cmd: ['1000'] })
    expect(log).toMatch(/STEP \d+\/\d+: RUN echo built[\s\S]*uid=0/)
    const sandbox = await harness.startSandbox('built-1', { snapshot: 'built', user: 'root' })
    expect((await sandbox.exec('cat /copied /built /greeting; stat -c %u /built')).stdout).toBe(
      'copied\nbuilt\nhello\n0\n',
    )
  })

  it('works from nothing, and without a context', async () => {
    const made = await build('scratch', `FROM scratch\nCOPY --from=${registry.host}/some/tiny:1 /bin /bin\n`)
    expect(made, await harness.log('scratch')).toMatchObject({ state: 'active' })
  })

  it('may print far more than its log holds', async () => {
    const made = await build('loud', `FROM ${registry.host}/some/tiny:1\nUSER 0\nRUN yes | head -c 30000000\n`)
    const log = await harness.log('loud')
    expect(made, log.slice(0, 2_000)).toMatchObject({ state: 'active' })
    expect(log).toMatch(/\ny\ny\n/)
    expect(log.slice(-200)).toMatch(/\n\(\d{8} more bytes are not kept\)\n$/)
  })

  it('fails with its log when a step fails', async () => {
    const made = await build('failed', `FROM ${registry.host}/some/tiny:1\nRUN echo so far; exit 3\n`)
    expect(made).toMatchObject({ state: 'error', reason: 'the build failed: its log says why' })
    expect(await harness.log('failed')).toContain('so far')
    expect(await readdir(join(harness.dataDir, 'sandboxes'))).not.toContainEqual(expect.stringContaining('draft'))
  })

  it('reaches nothing of the host', async () => {
    const steps = [
      'ls /proc/1/root/; cat /proc/1/environ; true',
      `cat ${harness.dataDir}/instance-id; ls ${harness.dataDir}; true`,
      'mount -t tmpfs x /mnt; mount -t proc x /proc; true',
      'cat /proc/self/uid_map /proc/self/status',
      `wget -T 3 -O - http://${registry.host}/v2/; wget -T 3 -O - http://169.254.169.254/; true`,
      'dd if=/dev/vda of=/disk count=1; ls /dev; true',
      'echo x >/proc/sys/kernel/core_pattern; true',
    ]
    const dockerfile = `FROM ${registry.host}/some/over:1\n${steps.map((step) => `RUN ${step}`).join('\n')}\n`
    const made = await build('hostile', dockerfile)
    const log = await harness.log('hostile')
    expect(made.state, log).toBe('active')
    const instance = await readFile(join(harness.dataDir, 'instance-id'), 'utf8')
    expect(log).not.toContain(instance)
    expect(log).toMatch(/ 0 +1879048192 +65536/)
    expect(log).toMatch(/NoNewPrivs:\s+1/)
    expect(log).toMatch(/Seccomp:\s+2/)
    expect(log.match(/permission denied|Operation not permitted|not permitted/gi)?.length).toBeGreaterThan(1)
    expect(log).toMatch(/core_pattern: (Read-only|Permission)/)
    expect(log).not.toContain('saving to')
  })

  it('ends at its own disk and memory', async () => {
    const fill = await build(
      'fill',
      `FROM ${registry.host}/some/over:1\nRUN dd if=/dev/zero of=/big bs=1M count=3000\n`,
    )
    expect(fill.state).toBe('error')
    expect(await harness.log('fill')).toContain('No space left')
  })

  it('takes an image by its digest, and only what it left is looked at', async () => {
    const { digest } = await harness.driver.snapshots.get('tiny')
    const from = `FROM ${registry.host}/some/tiny@${digest}\nUSER 0\n`
    const links = 'RUN ln -s / /build; ln -s /etc/passwd /x; mkdir -p /dir/sub; touch /dir/sub/x\n'
    expect((await build('digest', from + links)).state, await harness.log('digest')).toBe('active')
    const sandbox = await harness.startSandbox('digest-1', { snapshot: 'digest' })
    expect((await sandbox.exec('ls -d /build /x /dir/sub/x; stat -c %F /build')).stdout).toBe(
      '/build\n/dir/sub/x\n/x\nsymbolic link\n',
    )
  })
})
