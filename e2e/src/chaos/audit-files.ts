import type { KnownSandbox, Ledger } from './ledger.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import type { Tally } from './tally.ts'

/** Sandboxes looked at, at the same time. */
const LANES = 4
const LOOK_EVERY_MS = 250
/** Fails where the disk takes no writes; what a worker filled it with goes first. */
const WRITE = 'sh -c "rm -f /home/daytona/ballast && echo x >/home/daytona/written && sync /home/daytona/written"'

export interface FileAudit {
  ledger: Ledger
  calls: SandboxCalls
  tally: Tally
  /** How long one sandbox may take until it runs, in milliseconds. */
  withinMs: number
}

/**
 * Starts or recovers every sandbox that must be there, writes to it, and reads every file that was written to it.
 * Resolves with how many files were read.
 */
export async function auditFiles(audit: FileAudit): Promise<number> {
  const { ledger, tally } = audit
  const counts: Record<string, number> = {}
  const count = (what: string, number = 1) => {
    counts[what] = (counts[what] ?? 0) + number
  }
  const waiting = ledger.sandboxes.filter(({ existence }) => existence === 'there')
  const lane = async () => {
    for (let sandbox = waiting.pop(); sandbox !== undefined; sandbox = waiting.pop()) {
      await auditOne(audit, sandbox, count)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const { files = 0, ...states } = counts
  tally.fact(
    'sandboxes',
    Object.entries(states)
      .map(([state, number]) => `${state} ${number}`)
      .join(', ') || 'none',
  )
  tally.fact('files checked', files)
  return files
}

type Count = (what: string, number?: number) => void

async function auditOne(audit: FileAudit, sandbox: KnownSandbox, count: Count): Promise<void> {
  const { calls, tally } = audit
  const what = `${sandbox.name} (${sandbox.id})`
  const found = (await calls.look(sandbox)) ?? 'unheard'
  count(found)
  const outcome = await bringUp(audit, sandbox)
  // What was never made has nothing to lose, and what its runner took along is lost; both say so.
  if (outcome === 'beyond recovery' && (!sandbox.hasRun || sandbox.mayBeLost)) return
  if (outcome !== 'started')
    return tally.problem(`${what} was ${found} and could not be started: it is ${sandbox.state}`)
  await makeWritable(audit, sandbox, count)
  for (const file of sandbox.files.values()) {
    if (await calls.check(sandbox, file)) count('files')
    else tally.problem(`${file.path} of ${what} could not be read`)
  }
}

async function bringUp({ calls, withinMs }: FileAudit, sandbox: KnownSandbox): Promise<string> {
  const giveUpAt = performance.now() + withinMs
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
async function makeWritable(audit: FileAudit, sandbox: KnownSandbox, count: Count): Promise<void> {
  const { calls, tally } = audit
  if ((await calls.execute(sandbox, WRITE)) !== undefined) return
  count('read-only')
  await calls.command(sandbox, 'stop')
  if ((await bringUp(audit, sandbox)) === 'started' && (await calls.execute(sandbox, WRITE)) !== undefined) return
  tally.problem(`${sandbox.name} (${sandbox.id}) takes no writes, though it was started anew`)
}
