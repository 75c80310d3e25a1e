import type { KnownSandbox, Ledger } from './ledger.ts'
import type { ChaosOptions } from './options.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import type { Tally } from './tally.ts'

/** Sandboxes looked at, at the same time. */
const LANES = 4
const LOOK_EVERY_MS = 250
/** Fails where the disk takes no writes; what a worker filled it with goes first. */
const WRITE = 'sh -c "rm -f /home/daytona/ballast && echo x >/home/daytona/written && sync /home/daytona/written"'

interface FileScene {
  calls: SandboxCalls
  tally: Pick<Tally, 'problem'>
  /** `settleMs` is how long one sandbox may take until it runs. */
  options: Pick<ChaosOptions, 'settleMs'>
}

export interface FileAudit {
  files: number
  states: Readonly<Record<string, number>>
}

/**
 * Starts or recovers each of the sandboxes, which must be there, writes to it, and reads every file that was written to it.
 * Returns how many files were read, and how many sandboxes were found in which state.
 */
export async function auditFiles(scene: FileScene, sandboxes: readonly KnownSandbox[]): Promise<FileAudit> {
  const states: Record<string, number> = {}
  let files = 0
  const waiting = sandboxes.filter(({ existence }) => existence === 'there')
  const lane = async () => {
    for (let sandbox = waiting.pop(); sandbox !== undefined; sandbox = waiting.pop()) {
      const count = (what: string) => {
        states[what] = (states[what] ?? 0) + 1
      }
      const read = await auditOne(scene, sandbox, count)
      files += read
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return { files, states }
}

/** Sandboxes that were there after the storm and have files which nobody has read back, one line each. */
export function auditUnread({ sandboxes }: Pick<Ledger, 'sandboxes'>): string[] {
  return sandboxes
    .filter(({ existence, hasRun }) => existence === 'there' && hasRun)
    .map((sandbox) => ({ sandbox, unread: [...sandbox.files.values()].filter(({ isAudited }) => !isAudited).length }))
    .filter(({ unread }) => unread > 0)
    .map(({ sandbox: { name, id }, unread }) => `${unread} files of ${name} (${id}) were never read back`)
}

type Count = (what: string) => void

/** Returns how many files were read. */
async function auditOne(scene: FileScene, sandbox: KnownSandbox, count: Count): Promise<number> {
  const { calls, tally } = scene
  const what = `${sandbox.name} (${sandbox.id})`
  const found = (await calls.look(sandbox)) ?? 'unheard'
  count(found)
  const outcome = await bringUp(scene, sandbox)
  // What was never made has nothing to lose, and what its runner took along is lost; both say so.
  if (outcome === 'beyond recovery' && (!sandbox.hasRun || sandbox.mayBeLost)) return 0
  if (outcome !== 'started') {
    tally.problem(`${what} was ${found} and could not be started: it is ${sandbox.state}`)
    return 0
  }
  await makeWritable(scene, sandbox, count)
  let files = 0
  for (const file of sandbox.files.values()) {
    file.isAudited = await calls.check(sandbox, file)
    if (file.isAudited) files += 1
    else tally.problem(`${file.path} of ${what} could not be read`)
  }
  return files
}

async function bringUp({ calls, options }: FileScene, sandbox: KnownSandbox): Promise<string> {
  const giveUpAt = performance.now() + options.settleMs
  while (performance.now() < giveUpAt) {
    const state = await calls.look(sandbox)
    if (state === 'started') return 'started'
    if (state === 'stopped' || state === 'archived') await calls.command(sandbox, 'start')
    else if (state === 'error') {
      const answer = await calls.command(sandbox, 'recover')
      if (answer.kind === 'refused' && (await calls.look(sandbox)) === 'error') return 'beyond recovery'
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  return 'too late'
}

/** A disk that met errors, because the host's was full, is read-only until its sandbox starts again. */
async function makeWritable(scene: FileScene, sandbox: KnownSandbox, count: Count): Promise<void> {
  const { calls, tally } = scene
  if ((await calls.execute(sandbox, WRITE)) !== undefined) return
  count('read-only')
  await calls.command(sandbox, 'stop')
  if ((await bringUp(scene, sandbox)) === 'started' && (await calls.execute(sandbox, WRITE)) !== undefined) return
  tally.problem(`${sandbox.name} (${sandbox.id}) takes no writes, though it was started anew`)
}
