import { stat } from 'node:fs/promises'
import type { ToolboxChannels, WatchMessage } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { ChannelCall, ChannelOpening } from '../channels/channel.ts'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_ERROR, CLOSE_POLICY } from '../channels/channel-socket.ts'
import { fsError } from '../files/fs-error.ts'
import { shown } from '../files/walk-tree.ts'
import type { Log } from '../log.ts'
import { describeError } from '../log.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { createChangeQueue } from './change-queue.ts'
import { compileIgnore } from './ignore-patterns.ts'
import type { OverflowGuard } from './overflow-guard.ts'
import { createOverflowGuard } from './overflow-guard.ts'
import { createPathWatch } from './path-watch.ts'

/** Watches that may be open at the same time, in one toolbox. */
export const MAX_WATCHES = 32

export interface WatchChannels extends Disposable {
  open(call: ChannelCall<ToolboxChannels['watchFiles']>): Promise<ChannelOpening>
}

/** A client's request to watch a path. */
interface WatchWish {
  /** The path in the client's messages: absolute, without a slash at its end; bytes, as Latin1. */
  path: string
  recursive: boolean
  ignored(path: string): boolean
}

export function createWatchChannels({ work, log }: { work: WorkDirectory; log: Log }): WatchChannels {
  const overflow = createOverflowGuard()
  const watches = new Set<Disposable>()

  function attach(socket: ChannelSocket, wish: WatchWish): void {
    if (watches.size >= MAX_WATCHES) {
      refuse(socket, new AppError('RATE_LIMITED', `${MAX_WATCHES} watches are open already`))
      return
    }
    const watch = serve(socket, wish, { overflow, log })
    watches.add(watch)
    socket.listen({
      onDrain: watch.resume,
      onClose() {
        watch[Symbol.dispose]()
        watches.delete(watch)
      },
    })
  }

  return {
    async open(call) {
      const wish = await readWish(call, work).catch((error: unknown) => {
        if (error instanceof AppError) return error
        throw error
      })
      return {
        attach(socket) {
          // A message tells why a path cannot be watched, because a browser cannot read the answer to a refused upgrade.
          if (wish instanceof AppError) refuse(socket, wish)
          else attach(socket, wish)
        },
      }
    },
    [Symbol.dispose]() {
      for (const watch of watches) watch[Symbol.dispose]()
    },
  }
}

async function readWish(
  { query, queryBytes }: ChannelCall<ToolboxChannels['watchFiles']>,
  work: WorkDirectory,
): Promise<WatchWish> {
  const ignored = compileIgnore(query.ignore ?? '')
  const bytes = work.resolve(queryBytes('path'))
  const path = bytes.toString('latin1').replace(/(?<=.)\/+$/, '')
  await stat(bytes).catch((error: unknown) => {
    throw fsError(error, bytes, 'FILE_READ_FAILED')
  })
  return { path, recursive: query.recursive ?? false, ignored: (below) => ignored(shown(below)) }
}

/** Sends a client the changes at a path until disposed. */
function serve(
  socket: ChannelSocket,
  { path, recursive, ignored }: WatchWish,
  { overflow, log }: { overflow: OverflowGuard; log: Log },
): Disposable & { resume(): void } {
  const send = (message: WatchMessage) => socket.send(JSON.stringify(message))
  const queue = createChangeQueue({ root: shown(path), send })
  const watch = createPathWatch({
    path,
    recursive,
    overflow,
    ignored,
    onReady: () => send({ type: 'ready', path: shown(path) }),
    onChange: (change) => queue.add({ ...change, path: shown(change.path) }),
    onLost: queue.lose,
    onFail(error) {
      if (!(error instanceof AppError)) log.error('watch failed', { error: describeError(error) })
      refuse(socket, error)
    },
  })
  return {
    resume: queue.resume,
    [Symbol.dispose]() {
      watch[Symbol.dispose]()
      queue[Symbol.dispose]()
    },
  }
}

function refuse(socket: ChannelSocket, error: unknown): void {
  const known = error instanceof AppError
  const message = known ? error.message : 'the watch has failed'
  socket.send(JSON.stringify({ type: 'error', error: message } satisfies WatchMessage))
  socket.close(known && error.status < 500 ? CLOSE_POLICY : CLOSE_ERROR, message)
}
