import type { Readable } from 'node:stream'
import type { MakeSnapshot } from '@atoll/protocol'
import { RunnerSnapshot } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import type { Call } from './runner-client.ts'
import { openDownload, upload } from './runner-files.ts'

const SnapshotList = Type.Object({ items: Type.Array(RunnerSnapshot) })

/** A runner's snapshots: docs/spec/runner-snapshots.md. Throws as the other calls of a runner do. */
export interface RunnerSnapshotClient {
  list(signal?: AbortSignal): Promise<RunnerSnapshot[]>
  get(ref: string, signal?: AbortSignal): Promise<RunnerSnapshot>
  /** Begins to make it; the same again changes nothing. */
  make(ref: string, body: MakeSnapshot, signal?: AbortSignal): Promise<RunnerSnapshot>
  /** Sends the content that one waits for, to its end. `content` is destroyed when that fails. */
  sendContent(ref: string, content: Readable, signal: AbortSignal): Promise<RunnerSnapshot>
  /** What is told of its making; open until that is over when following. The caller destroys it. */
  log(ref: string, options: { follow: boolean; signal: AbortSignal }): Promise<Readable>
  /** All of it, for an import elsewhere. The caller destroys it. */
  export(ref: string, signal: AbortSignal): Promise<Readable>
  remove(ref: string, signal?: AbortSignal): Promise<void>
}

/** How a client of a part of the interface calls. */
export interface RunnerCalls {
  call(request: Call): Promise<unknown>
  /** Throws RunnerCallError for what is no answer. */
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
