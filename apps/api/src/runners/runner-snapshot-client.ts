import type { Readable } from 'node:stream'
import type { MakeSnapshot } from '@atoll/protocol'
import { RunnerSnapshot } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import type { Call } from './runner-client.ts'
import { openDownload, upload } from './runner-files.ts'

const SnapshotList = Type.Object({ items: Type.Array(RunnerSnapshot) })

/** Calls for a runner's snapshots: docs/spec/runner-snapshots.md. Throws as the other calls of a runner do. */
export interface RunnerSnapshotClient {
  list(signal?: AbortSignal): Promise<RunnerSnapshot[]>
  get(ref: string, signal?: AbortSignal): Promise<RunnerSnapshot>
  /** Begins to make a snapshot; a repeated call changes nothing. */
  make(ref: string, body: MakeSnapshot, signal?: AbortSignal): Promise<RunnerSnapshot>
  /** Sends all of the content that a snapshot waits for. `content` is destroyed if that fails. */
  sendContent(ref: string, content: Readable, signal: AbortSignal): Promise<RunnerSnapshot>
  /** Returns the log of its making; with `follow` it stays open until the snapshot is made. The caller destroys it. */
  log(ref: string, options: { follow: boolean; signal: AbortSignal }): Promise<Readable>
  /** Returns the whole snapshot, for an import on another runner. The caller destroys the stream. */
  export(ref: string, signal: AbortSignal): Promise<Readable>
  remove(ref: string, signal?: AbortSignal): Promise<void>
}

/** The calls that the clients of archives, snapshots and volumes are made of. */
export interface RunnerCalls {
  call(request: Call): Promise<unknown>
  /** Throws RunnerCallError for a reply that does not fit the schema. */
  answer<Schema extends TSchema>(schema: Schema, call: Promise<unknown>): Promise<Static<Schema>>
}

export function createRunnerSnapshotClient(calls: RunnerCalls & { peer: TunnelPeer }): RunnerSnapshotClient {
  const { peer, call, answer } = calls
  return {
    async list(signal) {
      const { items } = await answer(SnapshotList, call({ method: 'GET', path: '/snapshots', signal }))
      return items
    },
    get: (ref, signal) => answer(RunnerSnapshot, call({ method: 'GET', path: pathOf(ref), signal })),
    make: (ref, body, signal) => answer(RunnerSnapshot, call({ method: 'PUT', path: pathOf(ref), body, signal })),
    sendContent: (ref, source, signal) =>
      answer(RunnerSnapshot, upload(peer, { path: `${pathOf(ref)}/content`, source, signal })),
    log: (ref, { follow, signal }) => openDownload(peer, { path: `${pathOf(ref)}/log?follow=${follow}`, signal }),
    export: (ref, signal) => openDownload(peer, { path: `${pathOf(ref)}/export`, signal }),
    async remove(ref, signal) {
      await call({ method: 'DELETE', path: pathOf(ref), signal })
    },
  }
}

function pathOf(ref: string): string {
  return `/snapshots/${encodeURIComponent(ref)}`
}
