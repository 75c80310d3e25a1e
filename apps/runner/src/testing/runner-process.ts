import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SupervisorMessage } from '@atoll/service'
import { build } from 'esbuild'

/** The runner as its supervisor starts it, on a temporary data folder. */
export interface RunnerFolder extends AsyncDisposable {
  readonly dataDir: string
  start(env?: Record<string, string>): RunnerProcess
}

export interface RunnerProcess {
  readonly child: ChildProcess
  /** The first message it sends its supervisor. */
  readonly message: Promise<SupervisorMessage>
  /** Exit code and signal of its end. */
  readonly exit: Promise<unknown[]>
}

/** Builds the runner once, with the probe agent as its toolbox. */
export async function prepareRunner(env: Record<string, string>): Promise<RunnerFolder> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'atoll-runner-')))
  const main = join(folder, 'main.mjs')
  const dataDir = join(folder, 'data')
  const toolboxDir = join(folder, 'toolbox')
  const toolsDir = join(folder, 'tools')
  for (const path of [toolboxDir, toolsDir]) await mkdir(path)
  await writeFile(join(toolsDir, 'hash'), '0123456789abcdef')
  await copyFile(join(import.meta.dirname, '../drivers/testing/probe-agent.js'), join(toolboxDir, 'main.js'))
  await build({
    entryPoints: [join(import.meta.dirname, '../main.ts')],
    outfile: main,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  const running = new Set<ChildProcess>()
  return {
    dataDir,
    start: (more = {}) => {
      const child = fork(main, [], {
        execArgv: [],
        env: {
          ATOLL_DATA_DIR: dataDir,
          ATOLL_TOOLBOX_DIR: toolboxDir,
          ATOLL_TOOLS_DIR: toolsDir,
          ATOLL_LOG_LEVEL: 'silent',
          ...env,
          ...more,
        },
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      running.add(child)
      const exit = once(child, 'exit').finally(() => running.delete(child))
      return { child, message: once(child, 'message').then(([message]) => message), exit }
    },
    [Symbol.asyncDispose]: async () => {
      for (const child of running) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true })
    },
  }
}
