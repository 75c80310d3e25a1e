import { randomUUID } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { sendSignal } from '@atoll/service'
import { build } from 'esbuild'
import type { RunRecord, SandboxFolder } from '../oci/sandbox-folder.ts'
import { readRunRecord, sandboxFolder } from '../oci/sandbox-folder.ts'
import type { DriverHarness } from './driver-harness.ts'
import { findSandboxTraces, findSharedTraces } from './host-traces.ts'
import { startProbeServer, withDeadline } from './probe-server.ts'
import type { RemoteDriver } from './remote-driver.ts'
import { openRemoteDriver } from './remote-driver.ts'

const STATUS_DEADLINE_MS = 60_000
const SPEC: SandboxSpec = {
  snapshot: 'host',
  user: 'daytona',
  limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 128 },
  network: 'none',
}

export interface OciHarnessOptions {
  /** Name or path of the OCI runtime; absent: the driver picks it. */
  runtime?: string
  network?: 'auto' | 'none'
}

export interface OciHarness extends DriverHarness {
  /** Returns the paths of a sandbox's files. */
  folderOf(sandboxId: string): SandboxFolder
}

/** An oci driver on a new temporary data folder, in a process of its own. */
export async function createOciHarness({ runtime, network = 'auto' }: OciHarnessOptions = {}): Promise<OciHarness> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'atoll-oci-')))
  const program = await buildDriverProcess(folder)
  const toolboxDir = join(folder, 'toolbox')
  const toolsDir = join(folder, 'tools')
  const dataDir = join(folder, 'data')
  for (const path of [toolboxDir, toolsDir, dataDir]) await mkdir(path)
  await copyFile(join(import.meta.dirname, 'probe-agent.js'), join(toolboxDir, 'main.js'))
  const server = await startProbeServer(join(folder, 'dial-home'))
  const logLevel = process.env['ATOLL_LOG_LEVEL'] ?? 'fatal'
  await writeFile(join(toolsDir, 'hash'), '0123456789abcdef')
  const options = {
    dataDir,
    toolboxDir,
    toolsDir,
    dialHomeDir: server.folder,
    hiddenPaths: [folder],
    snapshotDirectories: [],
    runtime,
    network,
    logLevel,
  }
  let driver = await openRemoteDriver(program, options)

  return {
    get driver() {
      return driver
    },
    defaultSpec: SPEC,
    folderOf: (sandboxId) => sandboxFolder(join(dataDir, 'sandboxes'), sandboxId),
    startSandbox: async (spec = {}, { sandboxId = randomUUID(), env = {} } = {}) => {
      const agent = server.expect(sandboxId)
      agent.catch(() => undefined)
      const start = { toolboxToken: `token-of-${sandboxId}`, env }
      await driver.launch(sandboxId, { spec: { ...SPEC, ...spec }, start })
      return agent
    },
    nextStatus: (sandboxId) => nextStatus(driver, sandboxId),
    killFirstProcess: async (sandboxId) => {
      const { init } = await readRun(dataDir, sandboxId)
      sendSignal(init.pid, 'SIGKILL')
    },
    killEverything: async (sandboxId) => {
      const { init, monitor } = await readRun(dataDir, sandboxId)
      for (const { pid } of [monitor, init]) sendSignal(pid, 'SIGKILL')
    },
    crash: async (meanwhile) => {
      await driver.kill()
      await meanwhile?.()
      driver = await openRemoteDriver(program, options)
    },
    traces: () => findSandboxTraces(dataDir, driver.pid),
    sharedTraces: () => findSharedTraces(dataDir),
    [Symbol.asyncDispose]: async () => {
      // A test that failed may have left the driver dead and its sandboxes alive.
      if (!driver.isAlive) driver = await openRemoteDriver(program, options)
      await driver[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    },
  }
}

async function readRun(dataDir: string, sandboxId: string): Promise<RunRecord> {
  const run = await readRunRecord(sandboxFolder(join(dataDir, 'sandboxes'), sandboxId))
  if (run === undefined) throw new Error(`sandbox ${sandboxId} does not run`)
  return run
}

function nextStatus(driver: RemoteDriver, sandboxId: string): Promise<SandboxStatus> {
  let unsubscribe: (() => void) | undefined
  const status = withDeadline<SandboxStatus>(STATUS_DEADLINE_MS, `no status of ${sandboxId}`, (resolve) => {
    unsubscribe = driver.onStatusChange((changed) => {
      if (changed.sandboxId === sandboxId) resolve(changed)
    })
  })
  return status.finally(() => unsubscribe?.())
}

async function buildDriverProcess(folder: string): Promise<string> {
  const outfile = join(folder, 'driver-process.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, 'driver-process.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: 'inline',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  return outfile
}
