import type { Readable } from 'node:stream'
import type { UnpackArchive } from '@atoll/protocol'
import { ArrivedArchive, SandboxStatus, StagedArchive } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { openDownload, upload } from './runner-files.ts'
import type { RunnerCalls } from './runner-snapshot-client.ts'

/** The timeout for packing or unpacking a sandbox's files, in milliseconds; the caller's signal may end it earlier. */
const PACK_TIMEOUT_MS = 2 * 60 * 60 * 1000

/** An archive of a sandbox's files on a runner. */
export interface ArchiveRef {
  sandboxId: string
  /** A UUID. */
  archiveId: string
}

/** Packs, moves and unpacks archives on a runner: docs/spec/archives.md. Throws as the other calls of a runner do. */
export interface RunnerArchiveClient {
  /** Packs the files, unless the archive is staged already. */
  stage(archive: ArchiveRef, signal: AbortSignal): Promise<StagedArchive>
  /** Reads some bytes of a staged archive. The caller reads the stream to its end or destroys it. */
  read(archive: ArchiveRef, span: { from: number; bytes: number }, signal: AbortSignal): Promise<Readable>
  /** Discards a staged archive. An unknown one is no error. */
  discard(archive: ArchiveRef, signal?: AbortSignal): Promise<void>
  /** Returns how much the runner has of an archive that is sent to it. */
  arrived(archive: ArchiveRef, signal: AbortSignal): Promise<ArrivedArchive>
  /** Sends all of `source`, in place of the bytes that the runner has behind the first `from` bytes. */
  send(archive: ArchiveRef, part: { from: number; source: Readable }, signal: AbortSignal): Promise<ArrivedArchive>
  /** Replaces the files of a stopped sandbox with those of an archive that arrived whole. */
  unpack(archive: ArchiveRef, whole: UnpackArchive, signal: AbortSignal): Promise<SandboxStatus>
}

export function createRunnerArchiveClient(calls: RunnerCalls & { peer: TunnelPeer }): RunnerArchiveClient {
  const { peer, call, answer } = calls
  const timeoutMs = PACK_TIMEOUT_MS
  return {
    stage: (archive, signal) =>
      answer(StagedArchive, call({ method: 'PUT', path: pathOf(archive, 'outgoing'), signal, timeoutMs })),
    read: (archive, { from, bytes }, signal) =>
      openDownload(peer, { path: `${pathOf(archive, 'outgoing')}&from=${from}&bytes=${bytes}`, signal }),
    async discard(archive, signal) {
      await call({ method: 'DELETE', path: pathOf(archive, 'outgoing'), signal })
    },
    arrived: (archive, signal) =>
      answer(ArrivedArchive, call({ method: 'GET', path: pathOf(archive, 'incoming'), signal })),
    send: (archive, { from, source }, signal) =>
      answer(ArrivedArchive, upload(peer, { path: `${pathOf(archive, 'incoming')}&from=${from}`, source, signal })),
    unpack: (archive, body, signal) =>
      answer(SandboxStatus, call({ method: 'POST', path: pathOf(archive, 'incoming'), body, signal, timeoutMs })),
  }
}

function pathOf({ sandboxId, archiveId }: ArchiveRef, direction: 'outgoing' | 'incoming'): string {
  return `/sandboxes/${encodeURIComponent(sandboxId)}/${direction}?archive=${archiveId}`
}
