import type { Readable } from 'node:stream'
import type { ArrivedArchive, SandboxStatus, StagedArchive, UnpackArchive } from '@atoll/protocol'

/** One archive of one sandbox's files. */
export interface ArchiveName {
  sandboxId: string
  /** Matches `ARCHIVE_ID`. */
  archiveId: string
}

/**
 * Outgoing and incoming archives of the files that a driver's sandboxes changed over their snapshots: see
 * docs/spec/archives.md. A malformed id throws BAD_REQUEST, an unknown sandbox SANDBOX_NOT_FOUND.
 */
export interface ArchiveHolder {
  /**
   * Packs the sandbox's files as of one moment and keeps the archive to be read; a running sandbox is frozen until it is
   * packed. If this archive is already staged, returns it unchanged; deletes an archive with another id. Waits for earlier calls
   * for the same sandbox; ends with `signal`. Throws SERVICE_UNAVAILABLE where the disk has no room.
   */
  stage(name: ArchiveName, signal: AbortSignal): Promise<StagedArchive>
  /** Returns some bytes of a staged archive; fewer than `bytes` only at its end. Throws NOT_FOUND when it is not staged. */
  read(name: ArchiveName, span: { from: number; bytes: number }): Promise<Readable>
  /** Deletes an archive. Does nothing when there is none. */
  discard(name: ArchiveName): Promise<void>
  /** Returns how many bytes of an archive have arrived, and whether it was unpacked. */
  arrived(name: ArchiveName): Promise<ArrivedArchive>
  /**
   * Writes the bytes of an archive from `from` on, replacing any that arrived before; bytes that arrive before `content`
   * breaks off stay. Deletes another incoming archive of this sandbox. Throws CONFLICT when fewer than `from` bytes have
   * arrived, PAYLOAD_TOO_LARGE for more than the sandbox's disk could fill, SERVICE_UNAVAILABLE where this host's disk is full.
   */
  receive(name: ArchiveName, part: { from: number; content: Readable }): Promise<ArrivedArchive>
  /**
   * Replaces the files of a stopped sandbox by those of an archive that has arrived whole; a sandbox that ever ran keeps its
   * files unless all goes well. Does nothing if the archive was unpacked before. Goes on when the caller is gone; throws
   * SERVICE_UNAVAILABLE when the sandbox is removed. Throws SANDBOX_STATE_CONFLICT while it runs, BAD_REQUEST for a file that is
   * no such archive, DISK_FULL, and SERVICE_UNAVAILABLE when size or hash differ from `whole`: then the archive is deleted.
   */
  unpack(name: ArchiveName, whole: UnpackArchive): Promise<SandboxStatus>
}
