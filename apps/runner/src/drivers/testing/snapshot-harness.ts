import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MakeSnapshot, RunnerSnapshot, SandboxSpec } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { sharedDialHome } from '../../dial-homes.ts'
import type { RunCommand } from '../../run-command.ts'
import { runCommand } from '../../run-command.ts'
import type { SandboxDriver } from '../driver.ts'
import { openOciDriver } from '../oci/oci-driver.ts'
import type { ProbedSandbox } from './driver-harness.ts'
import { startProbeServer, withDeadline } from './probe-server.ts'

const SNAPSHOT_DEADLINE_MS = 120_000
const SPEC: SandboxSpec = {
  snapshot: 'host',
  user: 'daytona',
  limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 128 },
  network: 'none',
}

/** An oci driver in the test's own process, so that streams can be passed to and from it. */
export interface SnapshotHarness extends AsyncDisposable {
  readonly driver: SandboxDriver
  readonly dataDir: string
  /** A folder that snapshots may be made from. */
  readonly directory: string
  /** Makes a snapshot and waits for `active` or `error`. */
  settled(ref: string, wanted?: MakeSnapshot): Promise<RunnerSnapshot>
  /** Waits until `condition` holds for a snapshot. */
  until(ref: string, condition: (snapshot: RunnerSnapshot) => boolean): Promise<RunnerSnapshot>
  log(ref: string): Promise<string>
  startSandbox(sandboxId: string, spec?: Partial<SandboxSpec>): Promise<ProbedSandbox>
  /** Ends the driver in order and opens another on the same data folder. */
  reopen(): Promise<void>
}

export interface SnapshotHarnessOptions {
  network?: 'auto' | 'none'
  /** Runs commands; absent: the runner's own function. */
  run?: RunCommand
}

export async function createSnapshotHarness(options: SnapshotHarnessOptions = {}): Promise<SnapshotHarness> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'atoll-snap-')))
  const [toolboxDir, toolsDir, dataDir, directory] = ['toolbox', 'tools', 'data', 'allowed'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string]
  for (const path of [toolboxDir, toolsDir, dataDir, directory]) await mkdir(path)
  await copyFile(join(import.meta.dirname, 'probe-agent.js'), join(toolboxDir, 'main.js'))
  await writeFile(join(toolsDir, 'hash'), '0123456789abcdef')
  const server = await startProbeServer(join(folder, 'dial-home'))
  const open = () =>
    openOciDriver({
      ...{ dataDir, toolboxDir, toolsDir, dialHomes: sharedDialHome(server.folder), hiddenPaths: [folder] },
      ...{ network: options.network ?? 'none', snapshotDirectories: [directory], run: options.run ?? runCommand },
      log: createLogger('driver', process.env['ATOLL_LOG_LEVEL'] ?? 'fatal'),
    })
  let driver = await open()
  const until: SnapshotHarness['until'] = (ref, condition) => {
    let unsubscribe: (() => void) | undefined
    const found = withDeadline<RunnerSnapshot>(SNAPSHOT_DEADLINE_MS, `snapshot ${ref} is not as awaited`, (resolve) => {
      const look = (snapshot: RunnerSnapshot) => {
        if (snapshot.ref === ref && condition(snapshot)) resolve(snapshot)
      }
      unsubscribe = driver.snapshots.onChange(look)
      void driver.snapshots.get(ref).then(look, () => undefined)
    })
    return found.finally(() => unsubscribe?.())
  }
  return {
    get driver() {
      return driver
    },
    dataDir,
    directory,
    until,
    settled: async (ref, wanted) => {
      if (wanted !== undefined) await driver.snapshots.make(ref, wanted)
      return until(ref, ({ state }) => state === 'active' || state === 'error')
    },
    log: async (ref) => {
      const { signal } = new AbortController()
      const chunks: Buffer[] = []
      for await (const chunk of await driver.snapshots.readLog(ref, { from: 0, follow: true, signal }))
        chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    },
    startSandbox: async (sandboxId, spec = {}) => {
      const agent = server.expect(sandboxId)
      agent.catch(() => undefined)
      const start = { toolboxToken: `token-of-${sandboxId}`, env: {} }
      await driver.launch(sandboxId, { spec: { ...SPEC, ...spec }, start })
      return agent
    },
    reopen: async () => {
      await driver[Symbol.asyncDispose]()
      driver = await open()
    },
    [Symbol.asyncDispose]: async () => {
      await driver[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
