import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_POLICY } from '../channels/channel-socket.ts'

/** A viewer that is this many bytes behind the others is dropped; what it missed is in the replay. */
export const MAX_BEHIND_BYTES = 2 * 1024 * 1024

/** What a client has asked for by the subprotocols it offered. */
export interface ViewerWishes {
  /** To be told of the end by a message. */
  readonly exitControl: boolean
  /** To be told of the terminal's size. */
  readonly sizeControl: boolean
}

export interface Viewer {
  readonly socket: ChannelSocket
  readonly wishes: ViewerWishes
  /** Bytes sent to it since it was last known to keep up. */
  behind: number
  keepsUp: boolean
}

/** The clients that look at one terminal. */
export interface PtyViewers {
  readonly size: number
  add(socket: ChannelSocket, wishes: ViewerWishes): Viewer
  remove(viewer: Viewer): void
  /** To one, in order with what all are sent. */
  send(viewer: Viewer, message: string | Buffer): void
  sendToAll(message: Buffer): void
  /** Closes it with 1008: what it missed is in the replay, should it come again. */
  drop(viewer: Viewer, reason: string): void
  dropAll(reason: string): void
  /** Calls `act` for each of them. */
  each(act: (viewer: Viewer) => void): void
  /** The viewer has read enough for more. */
  drained(viewer: Viewer): void
}

/**
 * The terminal waits for the fastest viewer: `onPace` is called with true when none keeps up, with false when one does
 * again or none is left.
 */
export function createPtyViewers(onPace: (wait: boolean) => void): PtyViewers {
  const viewers = new Set<Viewer>()
  let waiting = false

  function pace(): void {
    const wait = viewers.size > 0 && ![...viewers].some((viewer) => viewer.keepsUp)
    if (wait === waiting) return
    waiting = wait
    onPace(wait)
  }

  function send(viewer: Viewer, message: string | Buffer): void {
    viewer.keepsUp = viewer.socket.send(message)
    viewer.behind = viewer.keepsUp ? 0 : viewer.behind + message.length
  }

  function remove(viewer: Viewer): void {
    viewers.delete(viewer)
    pace()
  }

  function drop(viewer: Viewer, reason: string): void {
    remove(viewer)
    // One that is not read from would not see the close through.
    viewer.socket.resume()
    viewer.socket.close(CLOSE_POLICY, reason)
  }

  return {
    get size() {
      return viewers.size
    },
    add(socket, wishes) {
      const viewer: Viewer = { socket, wishes, behind: 0, keepsUp: true }
      viewers.add(viewer)
      pace()
      return viewer
    },
    remove,
    send(viewer, message) {
      send(viewer, message)
      pace()
    },
    sendToAll(message) {
      for (const viewer of viewers) {
        send(viewer, message)
        if (viewer.behind > MAX_BEHIND_BYTES) drop(viewer, 'reads too slowly')
      }
      pace()
    },
    drop,
    dropAll(reason) {
      for (const viewer of viewers) drop(viewer, reason)
    },
    each(act) {
      for (const viewer of viewers) act(viewer)
    },
    drained(viewer) {
      viewer.keepsUp = true
      viewer.behind = 0
      pace()
    },
  }
}
