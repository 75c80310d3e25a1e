import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { AppError } from '@atoll/protocol'
import type { ByteSpan, NamedPart, PartTarget } from '../object-storage/object-store.ts'
import type { BackupObjects } from '../sandboxes/backups/backup-objects.ts'

interface MemoryUpload {
  key: string
  parts: Map<number, Buffer>
}

/** An object store in memory. */
export class MemoryObjects implements BackupObjects {
  /** A small size, so that small files have several parts. */
  readonly partBytes = 4
  readonly objects = new Map<string, Buffer>()
  readonly uploads = new Map<string, MemoryUpload>()
  /** Bytes that arrived in parts, since the beginning. */
  stored = 0
  /** The number of next calls that throw. */
  failures = 0

  async begin(key: string): Promise<string> {
    this.fail()
    this.abortUploads(key)
    const id = randomUUID()
    this.uploads.set(id, { key, parts: new Map() })
    return id
  }

  async putPart({ uploadId, number }: PartTarget, source: Readable, bytes: number): Promise<string> {
    const content = await buffer(source)
    this.fail()
    if (content.length !== bytes) throw new Error(`${content.length} bytes instead of ${bytes}`)
    const upload = this.uploads.get(uploadId)
    if (upload === undefined) throw new AppError('OBJECT_UPLOAD_NOT_FOUND', 'there is no such upload')
    this.stored += bytes
    upload.parts.set(number, content)
    return `etag of ${number}`
  }

  async complete({ uploadId, key }: Omit<PartTarget, 'number'>, parts: readonly NamedPart[]): Promise<boolean> {
    this.fail()
    const upload = this.uploads.get(uploadId)
    if (upload === undefined) return false
    const contents = parts.map(({ number }) => upload.parts.get(number) ?? Buffer.from('a part that never came'))
    this.objects.set(key, Buffer.concat(contents))
    this.uploads.delete(uploadId)
    return true
  }

  async size(key: string): Promise<number | undefined> {
    this.fail()
    return this.objects.get(key)?.length
  }

  async get(key: string, _signal: AbortSignal, span?: ByteSpan): Promise<Readable> {
    this.fail()
    const bytes = this.objects.get(key)
    if (bytes === undefined) throw new Error(`there is no object ${key}`)
    return Readable.from([span === undefined ? bytes : bytes.subarray(span.start, span.end + 1)])
  }

  async remove(key: string): Promise<void> {
    this.fail()
    this.objects.delete(key)
    this.abortUploads(key)
  }

  /** Returns the keys of a sandbox's objects and of its unfinished uploads. */
  keysOf(sandboxId: string): string[] {
    const unfinished = [...this.uploads.values()].map(({ key }) => key)
    return [...this.objects.keys(), ...unfinished].filter((key) => key.includes(sandboxId))
  }

  /** Returns the files in a sandbox's objects; undefined for an unfinished upload. */
  filesOf(sandboxId: string): (string | undefined)[] {
    return this.keysOf(sandboxId).map((key) => this.objects.get(key)?.subarray(1).toString())
  }

  private abortUploads(key: string): void {
    for (const [id, upload] of this.uploads) if (upload.key === key) this.uploads.delete(id)
  }

  private fail(): void {
    if (this.failures === 0) return
    this.failures -= 1
    throw new Error('planned failure of the object store')
  }
}
