import { randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { DriverHarness, ExecResult, ProbedSandbox } from '../testing/driver-harness.ts'

/** Accounts that attack: the one sandboxes run as, and root in a sandbox made for it. */
export const ATTACKERS = ['daytona', 'root'] as const
export type Attacker = (typeof ATTACKERS)[number]

/** Returns the harness that all groups of tests share, once it is made. */
export type GetHarness = () => DriverHarness

/** Host folders that each get a file no sandbox may find. */
const PRIVATE_FOLDERS = [...new Set([homedir(), tmpdir(), '/home', '/var/lib', '/run'])]

/** A driver with one sandbox of each attacker, and files on the host that they must not reach. */
export interface EscapeScene {
  readonly harness: DriverHarness
  /** Name of a file that lies in several folders of the host and in no sandbox. */
  readonly secretName: string
  /** The content of those files. */
  readonly secret: string
  /** The host's paths of those files. */
  readonly secretPaths: readonly string[]
  readonly sandboxes: readonly ProbedSandbox[]
  /** Runs a line of `sh` as the attacker. */
  attack(attacker: Attacker, script: string): Promise<ExecResult>
}

/** Makes the scene for the tests of the `describe` it is called in. Its sandboxes have this network. */
export function useEscapeScene(getHarness: GetHarness, network: 'nat' | 'none' = 'none'): () => EscapeScene {
  let scene: EscapeScene | undefined
  beforeAll(async () => {
    scene = await setScene(getHarness(), network)
  })
  afterAll(async () => {
    for (const path of scene?.secretPaths ?? []) await rm(path, { force: true })
    for (const { sandboxId } of scene?.sandboxes ?? []) await scene?.harness.driver.remove(sandboxId)
  })
  return () => {
    if (!scene) throw new Error('the scene is not set')
    return scene
  }
}

async function setScene(harness: DriverHarness, network: 'nat' | 'none'): Promise<EscapeScene> {
  const secretName = `atoll-secret-${randomUUID()}`
  const secret = randomUUID()
  const secretPaths = PRIVATE_FOLDERS.map((folder) => join(folder, secretName))
  for (const path of secretPaths) await writeFile(path, secret, { mode: 0o644 })
  const [daytona, root] = await Promise.all(ATTACKERS.map((user) => harness.startSandbox({ user, network })))
  if (!daytona || !root) throw new Error('no sandboxes')
  return {
    harness,
    secretName,
    secret,
    secretPaths,
    sandboxes: [daytona, root],
    attack: (attacker, script) => (attacker === 'root' ? root : daytona).exec(script),
  }
}

/** One system call: its numbers on x64 and arm64, and its arguments as Perl writes them. */
export type SystemCall = readonly [x64: number, arm64: number, ...args: (number | string)[]]

/**
 * Returns a line of `sh` that makes system calls by number and prints, a line each, 0 or the errno they failed with.
 * Perl is part of every Debian system and can call the kernel without a compiler.
 */
export function systemCalls(...calls: readonly SystemCall[]): string {
  const rows = calls.map(([x64, arm64, ...args]) => `[${[process.arch === 'arm64' ? arm64 : x64, ...args].join(', ')}]`)
  const call = 'my ($n, @a) = @$_; my $r = syscall($n, @a); print $r < 0 ? $! + 0 : 0, "\\n"'
  return perl(`for (${rows.join(', ')}) { ${call} }`)
}

/** Returns a line of `sh` that runs a Perl program. */
export function perl(program: string): string {
  return `perl -e '${program.replaceAll("'", `'\\''`)}'`
}
