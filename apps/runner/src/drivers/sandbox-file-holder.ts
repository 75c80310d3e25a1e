import type { Readable } from 'node:stream'
import type { ArrivedArchive, SandboxStatus, StagedArchive, UnpackArchive } from '@atoll/protocol'

/** One archive of one sandbox's files. */
export interface ArchiveName {
  sandboxId: string
  /** As of `ARCHIVE_ID`. */
  archiveId: string
}

/**
 * Archives of the files that a driver's sandboxes changed over their snapshots, on their way out and in: see
 * docs/spec/archives.md. A malformed id throws BAD_REQUEST, an unknown one SANDBOX_NOT_FOUND.
 */
export interface SandboxFileHolder {
  /**
   * Packs them as of one moment and keeps the archive to be read; a running sandbox stands still until it is packed. There
   * already: as it is. One by another name goes. Waits for the calls before it that concern the same sandbox; ends with
   * `signal`. Throws SERVICE_UNAVAILABLE where the disk has no room.
   */
  stage(name: ArchiveName, signal: AbortSignal): Promise<StagedArchive>
  /** Some bytes of a staged archive; fewer only at its end. Throws NOT_FOUND when it does not lie ready. */
  read(name: ArchiveName, span: { from: number; bytes: number }): Promise<Readable>
  /** Does nothing when there is none. */
  discard(name: ArchiveName): Promise<void>
  /** What has come of an archive. */
  arrived(name: ArchiveName): Promise<ArrivedArchive>
  /**
   * Takes the bytes of an archive from `from` on, in place of what came of them before; what comes before `content` breaks
   * off stays. Another archive that came for this sandbox goes. Throws CONFLICT when fewer have come, PAYLOAD_TOO_LARGE for
   * more than its disk could fill, SERVICE_UNAVAILABLE where this host's disk has no room.
   */
  receive(name: ArchiveName, part: { from: number; content: Readable }): Promise<ArrivedArchive>
  /**
   * Puts the files of an archive that has come whole in place of a stopped sandbox's own; those of one that ever ran stay
   * unless all goes well. Done already: nothing. Goes on for a caller that is gone, and
   * ends when the sandbox is removed: SERVICE_UNAVAILABLE. Throws SANDBOX_STATE_CONFLICT while it runs, BAD_REQUEST for what is no
   * such archive, DISK_FULL, and SERVICE_UNAVAILABLE when it is not what was announced: then nothing of it has come.
   */
  unpack(name: ArchiveName, whole: UnpackArchive): Promise<SandboxStatus>
}
