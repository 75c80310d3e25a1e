import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_POLICY } from '../channels/channel-socket.ts'

/** A viewer that is this many bytes behind the others is dropped; the replay has the output it missed. */
export const MAX_BEHIND_BYTES = 2 * 1024 * 1024

/** The wishes that a client expresses by the subprotocols it offers. */
export interface ViewerWishes {
  /** Whether a message tells the client of the end. */
  readonly exitControl: boolean
  /** Whether messages tell the client the terminal's size. */
  readonly sizeControl: boolean
}

export interface Viewer {
  readonly socket: ChannelSocket
  readonly wishes: ViewerWishes
  /** Bytes sent to the viewer since it was last known to keep up. */
  behind: number
  keepsUp: boolean
}

/** The clients attached to one terminal. */
export interface PtyViewers {
  readonly size: number
  add(socket: ChannelSocket, wishes: ViewerWishes): Viewer
  remove(viewer: Viewer): void
  /** Sends a message to one viewer, in order with the messages to all. */
  send(viewer: Viewer, message: string | Buffer): void
  sendToAll(message: Buffer): void
  /** Closes a viewer with 1008: the replay has the output it missed, should it attach again. */
  drop(viewer: Viewer, reason: string): void
  dropAll(reason: string): void
  /** Calls `act` for each viewer. */
  each(act: (viewer: Viewer) => void): void
  /** Records that the viewer has read enough to get more. */
  drained(viewer: Viewer): void
}

/**
 * Makes the terminal wait for its fastest viewer: calls `onPace` with true when no viewer keeps up, with false when one
 * does again or none is left.
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
    // A paused socket would not complete the close.
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
