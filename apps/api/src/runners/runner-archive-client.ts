import type { Readable } from 'node:stream'
import type { UnpackArchive } from '@atoll/protocol'
import { ArrivedArchive, SandboxStatus, StagedArchive } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { openDownload, upload } from './runner-files.ts'
import type { RunnerCalls } from './runner-snapshot-client.ts'

/** Packing and unpacking all that a sandbox has, in milliseconds; whoever calls may give up earlier. */
const PACK_TIMEOUT_MS = 2 * 60 * 60 * 1000

/** An archive of a sandbox's files on a runner. */
export interface ArchiveRef {
  sandboxId: string
  /** A UUID. */
  archiveId: string
}

/** Archives of sandboxes' files on a runner: docs/spec/archives.md. Throws as the other calls of a runner do. */
export interface RunnerArchiveClient {
  /** Packs it, unless it lies ready already. */
  stage(archive: ArchiveRef, signal: AbortSignal): Promise<StagedArchive>
  /** Some bytes of one that lies ready. Whoever takes the stream reads it to its end or destroys it. */
  read(archive: ArchiveRef, span: { from: number; bytes: number }, signal: AbortSignal): Promise<Readable>
  /** An unknown one is nothing to discard. */
  discard(archive: ArchiveRef, signal?: AbortSignal): Promise<void>
  /** What the runner has of one that is sent there. */
  arrived(archive: ArchiveRef, signal: AbortSignal): Promise<ArrivedArchive>
  /** Sends all of `source`, in place of what came behind the first `from` bytes before. */
  send(archive: ArchiveRef, part: { from: number; source: Readable }, signal: AbortSignal): Promise<ArrivedArchive>
  /** Gives a stopped sandbox the files of an archive that has come whole, in place of its own. */
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
