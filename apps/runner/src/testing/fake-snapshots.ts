import type { RunnerSnapshot } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { SnapshotHolder, SnapshotListener } from '../drivers/snapshot-holder.ts'

const IMAGE = { entrypoint: [], cmd: [], env: {}, workDir: '', user: '' }

/** Snapshots that are entries of a map; each is active as soon as its content has come. */
export interface FakeSnapshots extends SnapshotHolder {
  /** The content that came, by ref. */
  readonly contents: ReadonlyMap<string, string>
}

export function createFakeSnapshots(calls: string[]): FakeSnapshots {
  const host: RunnerSnapshot = snapshotOf('host', { kind: 'builtin', state: 'active' })
  const held = new Map([['host', host]])
  const contents = new Map<string, string>()
  const listeners = new Set<SnapshotListener>()
  const find = (ref: string) => {
    const snapshot = held.get(ref)
    if (snapshot === undefined) throw new AppError('SNAPSHOT_NOT_FOUND', `there is no snapshot "${ref}"`)
    return snapshot
  }
  const keep = (snapshot: RunnerSnapshot) => {
    held.set(snapshot.ref, snapshot)
    for (const listener of listeners) listener(snapshot)
    return snapshot
  }
  async function* text(words: readonly string[]) {
    for (const word of words) yield Buffer.from(word)
  }
  return {
    contents,
    list: async () => [...held.values()],
    get: async (ref) => find(ref),
    make: async (ref, { source }) => {
      calls.push(`make ${ref} ${source.kind}`)
      return keep(snapshotOf(ref, { kind: source.kind, needsContent: source.kind === 'archive' }))
    },
    takeContent: async (ref, content) => {
      if (!find(ref).needsContent) return find(ref)
      const chunks: Buffer[] = []
      for await (const chunk of content) chunks.push(chunk)
      contents.set(ref, Buffer.concat(chunks).toString())
      return keep({ ...find(ref), state: 'active', needsContent: false })
    },
    readLog: async (ref, { from, follow }) => text([find(ref).ref, ` from ${from}`, follow ? ' followed' : '']),
    export: async (ref) => text(['export of ', find(ref).ref]),
    remove: async (ref) => {
      calls.push(`remove snapshot ${ref}`)
      held.delete(ref)
    },
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function snapshotOf(ref: string, facts: Pick<RunnerSnapshot, 'kind'> & Partial<RunnerSnapshot>): RunnerSnapshot {
  return { ref, state: 'pending', needsContent: false, sizeGiB: 0, image: IMAGE, users: ['daytona', 'root'], ...facts }
}
