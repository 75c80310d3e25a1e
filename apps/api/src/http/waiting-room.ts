import type { Duplex } from 'node:stream'

/** Twice the sandboxes of a full runner, which all dial at once when the API comes back. */
const MAX_WAITING = 2_048
/** Sending a head, the lookup of a token and a tunnel's handshake together, in milliseconds. */
const WAIT_DEADLINE_MS = 30_000

/** Bounds on the connections that wait to be let in. */
export interface WaitingRoomLimits {
  /** The most connections; one more cuts off the one that has waited longest. Default: MAX_WAITING. */
  max?: number
  /** How long each may wait until it is cut off. Default: WAIT_DEADLINE_MS. */
  deadlineMs?: number
}

/** Connections that have not shown yet that they may stay, and may be hostile. */
export interface WaitingRoom {
  enter(socket: Duplex): void
  /** Lets a connection stay. Does nothing for one that never entered. */
  leave(socket: Duplex): void
}

/** Creates the room. Those who wait longest go first, so that connections which are only held keep nobody out. */
export function createWaitingRoom(limits: WaitingRoomLimits = {}): WaitingRoom {
  const { max = MAX_WAITING, deadlineMs = WAIT_DEADLINE_MS } = limits
  const timers = new Map<Duplex, NodeJS.Timeout>()
  const leave = (socket: Duplex) => {
    clearTimeout(timers.get(socket))
    timers.delete(socket)
  }
  const cutOff = (socket: Duplex) => {
    leave(socket)
    socket.destroy()
  }
  return {
    enter(socket) {
      const [oldest] = timers.keys()
      if (oldest !== undefined && timers.size >= max) cutOff(oldest)
      timers.set(
        socket,
        setTimeout(() => cutOff(socket), deadlineMs),
      )
      socket.once('close', () => leave(socket))
    },
    leave,
  }
}
