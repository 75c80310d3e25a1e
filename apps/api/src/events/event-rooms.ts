import type { Socket } from 'socket.io'

/** Listeners of one organization at a time. */
const MAX_OF_ORGANIZATION = 1_000
/** Messages that wait for a client that reads slower than it is told; with more it is cut off, and looks for itself. */
const MAX_WAITING_MESSAGES = 256

/** How a client has said who it is. */
export interface Introduction {
  readonly token: string
  /** The organization as the client named it. */
  readonly named: string | undefined
  /** Where it is; undefined for a Unix socket. */
  readonly address: string | undefined
}

/** Who listens to what, and by which credential. */
export interface Listening extends Introduction {
  readonly organizationId: string
  readonly toolboxProxyUrl: string
}

/** The listeners on this replica, by organization. */
export interface EventRooms {
  /** Until its connection ends. False when the organization has as many listeners as it may. */
  join(socket: Socket, listening: Listening): boolean
  isHeard(organizationId: string): boolean
  of(organizationId: string): { socket: Socket; listening: Listening }[]
  all(): [Socket, Listening][]
  /** Ends a listener that reads too slowly. */
  cutOffIfSlow(socket: Socket): void
  readonly size: number
}

export function createEventRooms(): EventRooms {
  const rooms = new Map<string, Map<Socket, Listening>>()
  /** Messages that the network has not taken yet. */
  const waiting = new Map<Socket, number>()

  function leave(socket: Socket, organizationId: string): void {
    const room = rooms.get(organizationId)
    waiting.delete(socket)
    room?.delete(socket)
    if (room?.size === 0) rooms.delete(organizationId)
  }

  return {
    get size() {
      return waiting.size
    },
    isHeard: (organizationId) => rooms.has(organizationId),
    of: (organizationId) =>
      [...(rooms.get(organizationId) ?? [])].map(([socket, listening]) => ({ socket, listening })),
    all: () => [...rooms.values()].flatMap((room) => [...room]),
    join(socket, listening) {
      const { organizationId } = listening
      const room = rooms.get(organizationId) ?? new Map<Socket, Listening>()
      if (room.size >= MAX_OF_ORGANIZATION) return false
      rooms.set(organizationId, room.set(socket, listening))
      waiting.set(socket, 0)
      const { conn } = socket
      conn.on('packetCreate', () => void (waiting.has(socket) && waiting.set(socket, (waiting.get(socket) ?? 0) + 1)))
      conn.on('flush', () => void (waiting.has(socket) && waiting.set(socket, 0)))
      // A connection may end before it is announced, when its own `disconnect` is not told.
      conn.once('close', () => leave(socket, organizationId))
      socket.once('disconnect', () => leave(socket, organizationId))
      return true
    },
    cutOffIfSlow(socket) {
      if ((waiting.get(socket) ?? 0) > MAX_WAITING_MESSAGES) socket.disconnect(true)
    },
  }
}
