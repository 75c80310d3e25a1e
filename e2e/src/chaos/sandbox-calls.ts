import type { ApiClient, Outcome } from './api-client.ts'
import { jsonOf } from './api-client.ts'
import type { KnownFile, KnownSandbox, Ledger, Resources } from './ledger.ts'
import { ABSENT, contentFor, digestOf, freshFile, mustBeThere, noteContent, noteSaved } from './ledger.ts'
import type { Tally } from './tally.ts'

const EXECUTE_TIMEOUT_S = 10

/** Sizes of files, in bytes: mostly small, and one that takes several frames and writes. */
export const FILE_SIZES = [0, 1, 700, 4_096, 40_000, 3_000_000] as const

/** What a client does with one sandbox; each keeps the ledger true and says what must not be. */
export interface SandboxCalls {
  /** The state as it is now; undefined when nobody could say. */
  look(sandbox: KnownSandbox): Promise<string | undefined>
  /** A command of a life cycle below the sandbox's path. */
  command(sandbox: KnownSandbox, verb: string): Promise<Outcome>
  /** Asks for other resources; what is not in `wanted` stays. */
  resize(sandbox: KnownSandbox, wanted: Partial<Resources>): Promise<void>
  delete(sandbox: KnownSandbox): Promise<void>
  /** Runs a command and returns what it printed; undefined when nobody could say, or it failed. */
  execute(sandbox: KnownSandbox, command: string): Promise<string | undefined>
  upload(sandbox: KnownSandbox, file: KnownFile, bytes: number): Promise<void>
  /** The same by a command in the sandbox, which flushes it or leaves that to the kernel. */
  writeByCommand(sandbox: KnownSandbox, file: KnownFile, flushed: boolean): Promise<void>
  removeFile(sandbox: KnownSandbox, file: KnownFile): Promise<void>
  /** Compares a file with what may be in it; false when nobody could say. */
  check(sandbox: KnownSandbox, file: KnownFile): Promise<boolean>
}

/** Takes over what an answer says of a sandbox. */
export function adopt(sandbox: KnownSandbox, found: Record<string, unknown>): void {
  sandbox.id = String(found['id'])
  sandbox.state = String(found['state'])
  sandbox.hasRun ||= sandbox.state === 'started'
  const [cpu, memory, disk] = ['cpu', 'memory', 'disk'].map((name) => Number(found[name])) as [number, number, number]
  sandbox.resources = { cpu, memory, disk }
  if (sandbox.state === 'error' || sandbox.state === 'unknown') sandbox.resizedTo = undefined
  const createdAt = found['backupCreatedAt']
  sandbox.backup = {
    state: String(found['backupState']),
    createdAt: createdAt === undefined ? undefined : String(createdAt),
  }
  if (sandbox.state === 'archived') noteSaved(sandbox)
  if (sandbox.existence === 'asked') sandbox.existence = 'there'
}

export interface SandboxCallsOptions {
  client: ApiClient
  ledger: Ledger
  tally: Tally
}

export function createSandboxCalls(options: SandboxCallsOptions): SandboxCalls {
  return { ...createLifeCalls(options), ...createFileCalls(options) }
}

const toolboxOf = ({ id }: KnownSandbox) => `/toolbox/${id}/toolbox`

/** Answers that must not be: the sandbox is there, and its caller may use it. */
function judge(tally: Tally, { sandbox, outcome, what }: { sandbox: KnownSandbox; outcome: Outcome; what: string }) {
  if (outcome.kind !== 'refused') return outcome
  const { status, code, message } = outcome
  const isLost = code === 'SANDBOX_NOT_FOUND' && sandbox.existence === 'there'
  if (isLost || code === 'UNAUTHORIZED' || code === 'FORBIDDEN') {
    tally.problem(`${what} of ${sandbox.name} (${sandbox.id}) was answered ${status} ${code}: ${message}`)
  }
  return outcome
}

/** Once nothing is on its way any more, a sandbox has what was acknowledged. */
function auditResources(tally: Tally, { name, id, state, resources, resizedTo }: KnownSandbox): void {
  if (resizedTo === undefined || (state !== 'started' && state !== 'stopped')) return
  const [shown, wanted] = [JSON.stringify(resources), JSON.stringify(resizedTo)]
  if (shown !== wanted) tally.problem(`${name} (${id}) is ${state} with ${shown}, and was resized to ${wanted}`)
}

async function runCommand({ client, tally }: SandboxCallsOptions, sandbox: KnownSandbox, command: string) {
  const body = { command, timeout: EXECUTE_TIMEOUT_S }
  const call = { operation: 'execute', promised: 'toolbox', body, extraMs: EXECUTE_TIMEOUT_S * 1000 } as const
  const outcome = await client.call('POST', `${toolboxOf(sandbox)}/process/execute`, call)
  return judge(tally, { sandbox, outcome, what: 'a command' })
}

type LifeCalls = Pick<SandboxCalls, 'look' | 'command' | 'resize' | 'delete' | 'execute'>

function createLifeCalls(options: SandboxCallsOptions): LifeCalls {
  const { client, tally } = options
  return {
    async look(sandbox) {
      const call = { operation: 'look', promised: 'quick' } as const
      const outcome = await client.call('GET', `/sandbox/${sandbox.id ?? sandbox.name}`, call)
      const found = jsonOf(judge(tally, { sandbox, outcome, what: 'a look' }))
      if (found === undefined) return undefined
      adopt(sandbox, found)
      if (sandbox.existence === 'there' && sandbox.state.startsWith('destroy')) {
        tally.problem(`${sandbox.name} (${sandbox.id}) is ${sandbox.state}, and nobody asked for it`)
      }
      auditResources(tally, sandbox)
      return sandbox.state
    },

    async command(sandbox, verb) {
      const call = { operation: verb, promised: verb === 'start' ? 'start' : 'quick' } as const
      const outcome = await client.call('POST', `/sandbox/${sandbox.id}/${verb}`, call)
      // What it is now is anyone's guess until the next look.
      sandbox.state = 'unheard'
      return judge(tally, { sandbox, outcome, what: verb })
    },

    async resize(sandbox, wanted) {
      const call = { operation: 'resize', promised: 'quick', body: wanted } as const
      const outcome = await client.call('POST', `/sandbox/${sandbox.id}/resize`, call)
      sandbox.state = 'unheard'
      judge(tally, { sandbox, outcome, what: 'resize' })
      if (outcome.kind === 'refused' || sandbox.resources === undefined) return
      sandbox.resizedTo = outcome.kind === 'ok' ? { ...sandbox.resources, ...wanted } : undefined
    },

    async delete(sandbox) {
      sandbox.existence = 'leaving'
      const outcome = await client.call('DELETE', `/sandbox/${sandbox.id}`, { operation: 'delete', promised: 'quick' })
      // It may be the second try.
      if (outcome.kind === 'ok' || (outcome.kind === 'refused' && outcome.status === 404)) sandbox.existence = 'gone'
      else judge(tally, { sandbox, outcome, what: 'a deletion' })
    },

    async execute(sandbox, command) {
      const answer = jsonOf(await runCommand(options, sandbox, command))
      return answer?.['exitCode'] === 0 ? String(answer['result']) : undefined
    },
  }
}

function createFileCalls(
  options: SandboxCallsOptions,
): Pick<SandboxCalls, 'upload' | 'writeByCommand' | 'removeFile' | 'check'> {
  const { client, ledger, tally } = options
  let contents = 0

  /** Makes a change and notes what is in the file then, or may be; what is refused leaves a file as it was. */
  async function change(sandbox: KnownSandbox, file: KnownFile, { digest, flushed, send }: Change): Promise<void> {
    const before = ledger.losses
    const outcome = judge(tally, { sandbox, outcome: await send(), what: `changing ${file.path}` })
    if (outcome.kind === 'refused') return
    noteContent(file, digest, { acknowledged: outcome.kind === 'ok', flushed })
    if (!flushed && ledger.losses !== before) sandbox.files.delete(file.path)
  }

  return {
    async upload(sandbox, file, bytes) {
      contents += 1
      const content = contentFor(`${sandbox.name}${file.path}${contents}`, bytes)
      const form = new FormData()
      form.append('file', new Blob([content]), 'file')
      const path = `${toolboxOf(sandbox)}/files/upload?path=${encodeURIComponent(file.path)}`
      const send = () => client.call('POST', path, { operation: 'upload', promised: 'toolbox', body: form })
      await change(sandbox, file, { digest: digestOf(content), flushed: true, send })
    },

    async writeByCommand(sandbox, file, flushed) {
      contents += 1
      const content = `${sandbox.name} ${contents}`
      const [, folder, name] = /^(.*)\/([^/]*)$/.exec(file.path) ?? []
      const flush = (path: string) => (flushed ? `&& sync ${path}` : '')
      // Whole or not at all, as the toolbox writes.
      const write = `printf %s '${content}' >.${name} ${flush(`.${name}`)} && mv .${name} ${name} ${flush(`${name}`)}`
      const send = async (): Promise<Outcome> => {
        const outcome = await runCommand(options, sandbox, `sh -c "mkdir -p ${folder} && cd ${folder} && ${write}"`)
        const hasFailed = outcome.kind === 'ok' && jsonOf(outcome)?.['exitCode'] !== 0
        return hasFailed ? { kind: 'failed', why: 'the command failed' } : outcome
      }
      await change(sandbox, file, { digest: digestOf(Buffer.from(content)), flushed, send })
    },

    async removeFile(sandbox, file) {
      const path = `${toolboxOf(sandbox)}/files?path=${encodeURIComponent(file.path)}`
      const send = () => client.call('DELETE', path, { operation: 'remove file', promised: 'toolbox' })
      await change(sandbox, file, { digest: ABSENT, flushed: false, send })
    },

    async check(sandbox, file) {
      const before = ledger.losses
      const path = `${toolboxOf(sandbox)}/files/download?path=${encodeURIComponent(file.path)}`
      const outcome = await client.call('GET', path, { operation: 'download', promised: 'toolbox' })
      judge(tally, { sandbox, outcome, what: 'a download' })
      const isForgotten = !file.flushed && ledger.losses !== before
      const where = `${file.path} of ${sandbox.name} (${sandbox.id})`
      if (outcome.kind === 'refused' && outcome.code === 'FILE_NOT_FOUND') {
        if (mustBeThere(file) && !isForgotten) tally.problem(`${where} is lost`)
        return true
      }
      if (outcome.kind !== 'ok') return false
      if (!file.possible.has(digestOf(outcome.bytes)) && !isForgotten) {
        tally.problem(`${where} has other content than any that was written: ${outcome.bytes.length} bytes`)
      }
      return true
    },
  }
}

interface Change {
  digest: string
  flushed: boolean
  send(): Promise<Outcome>
}

/** A file to write to: one that is settled, or a new one. */
export function writableFile(
  sandbox: KnownSandbox,
  maxFiles: number,
  pick: (files: KnownFile[]) => KnownFile,
): KnownFile {
  const settled = [...sandbox.files.values()].filter((file) => file.settled)
  return settled.length < maxFiles ? freshFile(sandbox) : pick(settled)
}
