import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { ArchiveHolder } from '../drivers/archive-holder.ts'

/** Keeps archives in memory: it stages the archive that was unpacked last, and keeps the bytes of a part that breaks off. */
export function createFakeArchives(find: (sandboxId: string, state: 'stopped') => SandboxStatus): ArchiveHolder {
  const files = new Map<string, Buffer>()
  const incoming = new Map<string, Buffer>()
  const contentOf = (sandboxId: string) => files.get(sandboxId) ?? Buffer.from('nothing yet')
  return {
    async stage({ sandboxId }) {
      find(sandboxId, 'stopped')
      const content = contentOf(sandboxId)
      return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex'), format: 'tar' }
    },
    async read({ sandboxId }, { from, bytes }) {
      find(sandboxId, 'stopped')
      return Readable.from([contentOf(sandboxId).subarray(from, from + bytes)])
    },
    async discard({ sandboxId }) {
      find(sandboxId, 'stopped')
    },
    async arrived({ sandboxId }) {
      find(sandboxId, 'stopped')
      return { bytes: incoming.get(sandboxId)?.length ?? 0, unpacked: false }
    },
    async receive({ sandboxId }, { from, content }) {
      find(sandboxId, 'stopped')
      let arrived = (incoming.get(sandboxId) ?? Buffer.alloc(0)).subarray(0, from)
      if (arrived.length < from) throw new AppError('CONFLICT', 'fewer have come')
      for await (const chunk of content) {
        arrived = Buffer.concat([arrived, chunk])
        incoming.set(sandboxId, arrived)
      }
      return { bytes: arrived.length, unpacked: false }
    },
    async unpack({ sandboxId }) {
      files.set(sandboxId, incoming.get(sandboxId) ?? Buffer.alloc(0))
      return find(sandboxId, 'stopped')
    },
  }
}
