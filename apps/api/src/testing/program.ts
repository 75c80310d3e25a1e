import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const WORKSPACE = fileURLToPath(new URL('../..', import.meta.url))
const MAX_OUTPUT_CHARS = 200_000

/** A program of src/, bundled so that it can run. */
export interface Program {
  /** Runs it with Node, in a fresh environment that holds `env` only. */
  start(env: Record<string, string>, args?: readonly string[]): RunningProgram
  /** Kills the processes that still run and waits for their end. */
  killAll(): Promise<void>
  /** Kills the processes that still run and removes the bundle. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface RunningProgram {
  readonly child: ChildProcess
  /** The first message that it sends over IPC; rejects when it ends before. */
  readonly message: Promise<unknown>
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Returns its output so far. */
  output(): string
}

/** Bundles `entry`, a path below src/. The bundle lies in this workspace, where its packages are found. */
export async function bundleProgram(entry: string): Promise<Program> {
  const folder = join(WORKSPACE, 'node_modules', `.atoll-test-${randomUUID()}`)
  const path = join(folder, 'out', 'program.mjs')
  await mkdir(folder)
  await symlink(join(WORKSPACE, 'migrations'), join(folder, 'migrations'))
  await build({
    entryPoints: [join(WORKSPACE, 'src', entry)],
    outfile: path,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    plugins: [{ name: 'npm-packages-stay-outside', setup: leaveNpmPackagesOutside }],
  })
  let running: RunningProgram[] = []
  async function killAll(): Promise<void> {
    const ending = running
    running = []
    for (const { child } of ending) child.kill('SIGKILL')
    await Promise.all(ending.map(({ exited }) => exited))
  }
  return {
    killAll,
    start(env, args = []) {
      const program = run(path, env, args)
      running.push(program)
      return program
    },
    async [Symbol.asyncDispose]() {
      await killAll()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function leaveNpmPackagesOutside(build: import('esbuild').PluginBuild): void {
  build.onResolve({ filter: /^[^./]/ }, ({ path }) =>
    path.startsWith('@atoll/') ? undefined : { path, external: true },
  )
}

function run(path: string, env: Record<string, string>, args: readonly string[]): RunningProgram {
  const child = fork(path, [...args], { env: { PATH: process.env['PATH'] ?? '', ...env }, silent: true, execArgv: [] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAX_OUTPUT_CHARS)
    })
  }
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  const message = new Promise<unknown>((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`the program ended (${code}) and said nothing:\n${output}`)))
  })
  message.catch(() => undefined)
  return { child, message, exited, output: () => output }
}
