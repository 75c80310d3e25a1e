import { relative } from 'node:path'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { SandboxUser, Snapshot } from '../snapshot.ts'
import { packFiles } from './copy-files.ts'
import { EQUIP_PROGRAM, MAX_ACCOUNTS, SANDBOX_ACCOUNT } from './equip-program.ts'
import { writeLayer } from './file-layers.ts'
import type { Layer } from './layer-store.ts'
import type { MakeContext, SnapshotContent } from './make-context.ts'
import { SnapshotError } from './make-context.ts'
import { packUpper } from './sandbox-files.ts'
import type { SnapshotAccount } from './snapshot-record.ts'
import { SnapshotAccount as AccountSchema } from './snapshot-record.ts'
import { trySnapshot } from './snapshot-trial.ts'

/** Most layers that stay separate; more are merged into one, so that no sandbox has to search many. */
const MERGED_LAYERS = 32
/** Most layers over the built-in snapshot: more paths do not fit into one page of mount options. */
export const MAX_LAYERS = 100
/** How long the toolbox of a new snapshot must stay up, in milliseconds. */
const PROOF_MS = 3_000

const Accounts = Type.Array(AccountSchema, { maxItems: MAX_ACCOUNTS })

export interface FinishedSnapshot extends SnapshotContent {
  accounts: SnapshotAccount[]
}

/** Returns a content as a snapshot that a sandbox can be started from: layers, accounts and mounts. */
export function runnable(
  context: Pick<MakeContext, 'host'>,
  content: Pick<SnapshotContent, 'base'> & {
    ref: string
    layers: readonly Pick<Layer, 'tree'>[]
    accounts: readonly SandboxUser[]
  },
): Snapshot {
  const base = content.base === undefined ? undefined : context.host.snapshots.get(content.base)
  return {
    name: content.ref,
    layers: [...content.layers.map((layer) => layer.tree), ...(base?.layers ?? [])],
    mounts: base?.mounts ?? [],
    users: new Map(content.accounts.map((account) => [account.name, account])),
  }
}

/**
 * Makes a content usable: few layers, an account to run as, and the folders that sandboxes need. Throws SnapshotError where
 * the injected Node does not run in it.
 */
export async function equipSnapshot(context: MakeContext, content: SnapshotContent): Promise<FinishedSnapshot> {
  const layers = await mergeLayers(context, content)
  const { host, log, signal, sockets } = context
  const snapshot = runnable(context, { ...content, ref: 'new', layers, accounts: [] })
  const command = [...host.injected.nodeCommand, '-e', EQUIP_PROGRAM]
  const trial = { host, sockets, snapshot, command, signal }
  return trySnapshot(trial, async ({ said, folder, record, halt }) => {
    const accounts = parseAccounts(await said)
    await halt()
    const top = await writeLayer(context, packUpper(context, { folder, record }), {
      kind: 'layer',
      name: 'accounts and folders',
    })
    const own = accounts.find((account) => account.name === SANDBOX_ACCOUNT.name)
    log.append(`sandboxes run as ${SANDBOX_ACCOUNT.name}, ${own?.uid}:${own?.gid}, at home in ${own?.home}`)
    return { ...content, layers: [top, ...layers], accounts }
  }).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw cause instanceof SnapshotError
      ? cause
      : new SnapshotError(`no program runs in it: ${messageOf(cause)}`, { cause })
  })
}

/** Starts a sandbox of the snapshot and checks that its toolbox dials home and stays up. Throws SnapshotError. */
export async function proveSnapshot(context: MakeContext, finished: FinishedSnapshot): Promise<void> {
  const { host, log, signal, sockets } = context
  const snapshot = runnable(context, { ...finished, ref: 'new' })
  const user = snapshot.users.get(SANDBOX_ACCOUNT.name)
  const command = host.injected.toolboxCommand
  try {
    await trySnapshot({ host, sockets, snapshot, user, command, signal }, (trial) => trial.staysUp(PROOF_MS))
  } catch (cause) {
    signal.throwIfAborted()
    throw new SnapshotError(`the toolbox does not run in it: ${messageOf(cause)}`, { cause })
  }
  log.append(`the toolbox dialled home and stayed up for ${PROOF_MS / 1000} s`)
}

function parseAccounts(text: string): SnapshotAccount[] {
  let accounts: unknown
  try {
    accounts = JSON.parse(text)
  } catch (cause) {
    throw new SnapshotError('its accounts cannot be read', { cause })
  }
  const names = [SANDBOX_ACCOUNT.name, 'root']
  if (!Value.Check(Accounts, accounts) || !names.every((name) => accounts.some((account) => account.name === name))) {
    throw new SnapshotError('its accounts in /etc/passwd and /etc/group are not as they should be')
  }
  return accounts
}

async function mergeLayers(context: MakeContext, { layers, base }: SnapshotContent): Promise<readonly Layer[]> {
  if (base !== undefined) {
    if (layers.length < MAX_LAYERS) return layers
    throw new SnapshotError(`it would have more than ${MAX_LAYERS} layers: too many snapshots of snapshots`)
  }
  if (layers.length <= MERGED_LAYERS) return layers
  context.log.append(`making one of ${layers.length} layers`)
  const draft = await context.layers.draft()
  try {
    // The paths are relative, so that many fit into one page of mount options.
    const folder = context.host.folders.layers
    const lower = layers.map((layer) => relative(folder, layer.tree)).join(':')
    const files = packFiles({
      through: ['unshare', '--mount', '--', 'sh', '-c', MOUNT_AND_RUN, 'merge', folder, lower, draft.scratch],
      folder: draft.scratch,
      signal: context.signal,
    })
    return [await writeLayer(context, files, { kind: 'layer', name: 'one layer' })]
  } finally {
    await draft.discard()
  }
}

const MOUNT_AND_RUN = `
set -eu
cd "$1"
mount -t overlay -o "ro,nosuid,nodev,xino=off,redirect_dir=off,metacopy=off,lowerdir=$2" overlay "$3"
shift 3
exec "$@"
`

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
