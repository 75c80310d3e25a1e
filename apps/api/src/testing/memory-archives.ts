import { createHash } from 'node:crypto'
import type { ArrivedArchive, StagedArchive, UnpackArchive } from '@atoll/protocol'
import { RunnerCallError } from '../runners/runner-answer.ts'

interface Staged {
  archiveId: string
  content: Buffer
}

interface Incoming extends Staged {
  unpacked: boolean
}

/** Archives of sandboxes as runners keep them, in memory. A packed archive is a `#` and the files. */
export class MemoryArchives {
  /** Archives by sandbox. */
  readonly outgoing = new Map<string, Staged>()
  readonly incoming = new Map<string, Incoming>()
  /** Bytes that were read and that arrived, since the beginning. */
  readonly moved = { out: 0, in: 0 }

  stage(sandboxId: string, archiveId: string, files: Buffer): StagedArchive {
    const known = this.outgoing.get(sandboxId)
    const content = known?.archiveId === archiveId ? known.content : Buffer.concat([Buffer.from('#'), files])
    this.outgoing.set(sandboxId, { archiveId, content })
    return { bytes: content.length, sha256: sha256Of(content), format: 'tar' }
  }

  read(sandboxId: string, archiveId: string, { from, bytes }: { from: number; bytes: number }): Buffer {
    const staged = this.outgoing.get(sandboxId)
    if (staged?.archiveId !== archiveId) throw new RunnerCallError(404, 'does not lie ready', 'NOT_FOUND')
    this.moved.out += bytes
    return staged.content.subarray(from, from + bytes)
  }

  discard(sandboxId: string, archiveId: string): void {
    if (this.outgoing.get(sandboxId)?.archiveId === archiveId) this.outgoing.delete(sandboxId)
  }

  arrived(sandboxId: string, archiveId: string): ArrivedArchive {
    const incoming = this.incoming.get(sandboxId)
    if (incoming?.archiveId !== archiveId) return { bytes: 0, unpacked: false }
    return { bytes: incoming.content.length, unpacked: incoming.unpacked }
  }

  /** Receives bytes of a part. Bytes that arrived earlier are kept up to `from`. */
  receive(sandboxId: string, archiveId: string, part: { from: number; content: Buffer }): ArrivedArchive {
    const { bytes } = this.arrived(sandboxId, archiveId)
    if (bytes < part.from) throw new RunnerCallError(409, 'fewer have come', 'CONFLICT')
    const before = this.incoming.get(sandboxId)?.content.subarray(0, part.from) ?? Buffer.alloc(0)
    const content = Buffer.concat([before, part.content])
    this.moved.in += part.content.length
    this.incoming.set(sandboxId, { archiveId, content, unpacked: false })
    return { bytes: content.length, unpacked: false }
  }

  /** Returns the files; undefined when the archive was already unpacked. */
  unpack(sandboxId: string, archiveId: string, whole: UnpackArchive): Buffer | undefined {
    const incoming = this.incoming.get(sandboxId)
    if (incoming?.archiveId === archiveId && incoming.unpacked) return undefined
    const content = incoming?.archiveId === archiveId ? incoming.content : Buffer.alloc(0)
    if (content.length !== whole.bytes || sha256Of(content) !== whole.sha256) {
      this.incoming.delete(sandboxId)
      throw new RunnerCallError(503, 'not what was announced', 'SERVICE_UNAVAILABLE')
    }
    this.incoming.set(sandboxId, { archiveId, content: Buffer.alloc(0), unpacked: true })
    return content.subarray(1)
  }

  /** Deletes the archives of a removed sandbox. */
  forget(sandboxId: string): void {
    this.outgoing.delete(sandboxId)
    this.incoming.delete(sandboxId)
  }
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
