import { isAbsolute } from 'node:path'
import type { Logger } from '@atoll/service'
import { isThere } from '../../files.ts'
import type { RunCommand } from '../../run-command.ts'
import { commandEnvironment } from '../../run-command.ts'
import type { OciRuntime } from './launch-sandbox.ts'
import type { CgroupLayout } from './sandbox-cgroups.ts'

/** Known runtimes, lightest first: crun starts a sandbox in about a third of runc's time and waits in a fifth of its memory. */
const KNOWN_RUNTIMES = ['crun', 'runc']

export interface PickRuntimeOptions {
  /** A name or an absolute path; undefined: the known runtimes, best first. */
  wanted: string | undefined
  layout: CgroupLayout
  log: Logger
  run: RunCommand
  /** Runs a container that prints a word; throws with the reason when that does not work. */
  tryRuntime: (runtime: OciRuntime) => Promise<void>
}

/** Returns the first runtime that really runs a container here. Throws an Error that says for each why it does not. */
export async function pickRuntime(options: PickRuntimeOptions): Promise<OciRuntime> {
  const { wanted, log } = options
  const reasons: string[] = []
  for (const name of wanted === undefined ? KNOWN_RUNTIMES : [wanted]) {
    const candidates = await findCandidates(name, options)
    if (candidates.length === 0) reasons.push(`${name}: not installed`)
    for (const runtime of candidates) {
      const failure = await options.tryRuntime(runtime).then(() => undefined, describe)
      if (failure === undefined) {
        log.info({ runtime, rejected: reasons }, 'picked the OCI runtime')
        return runtime
      }
      reasons.push(`${runtime.label}: ${failure}`)
    }
  }
  const advice = wanted === undefined ? '; install the package crun' : ''
  throw new Error(`no OCI runtime works on this host (${reasons.join(' | ')})${advice}`)
}

/** Returns the ways to use a runtime, simplest first. */
async function findCandidates(name: string, { layout, run }: PickRuntimeOptions): Promise<OciRuntime[]> {
  const path = await findProgram(name)
  if (path === undefined) return []
  const label = await readLabel(path, run)
  const { stdout } = await run([path, 'run', '--help'])
  const ending = /\s--keep\s/.test(stdout) ? ('kept' as const) : ('held' as const)
  return (layout === 'hybrid' ? [false, true] : [false]).map((hidesUnifiedCgroup) => ({
    path,
    label,
    hidesUnifiedCgroup,
    ending,
  }))
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Returns the path of a program on this host; undefined when there is none. */
export async function findProgram(name: string): Promise<string | undefined> {
  if (isAbsolute(name)) return (await isThere(name)) ? name : undefined
  for (const folder of (commandEnvironment()['PATH'] ?? '').split(':')) {
    if (await isThere(`${folder}/${name}`)) return `${folder}/${name}`
  }
  return undefined
}

/** Returns name and version, from a first line such as `crun version 1.8.1` or `runc version 1.1.5`. */
async function readLabel(path: string, run: RunCommand): Promise<string> {
  const { stdout } = await run([path, '--version'])
  const [, name, version] = /^(\S+) version (\S+)/.exec(stdout) ?? []
  return name === undefined ? path : `${name} ${version}`
}
