import type { Socket } from 'socket.io'

/** The most listeners of one organization. */
const MAX_OF_ORGANIZATION = 1_000
/** The most messages that wait for a slow client; above it the client is disconnected, and learns of changes by asking. */
const MAX_WAITING_MESSAGES = 256

/** The credential and the organization that a client gave. */
export interface Introduction {
  readonly token: string
  /** The id of the organization that the client gave. */
  readonly named: string | undefined
  /** The address of the client; undefined for a Unix socket. */
  readonly address: string | undefined
}

/** A listener's credential, and the organization it listens to. */
export interface Listening extends Introduction {
  readonly organizationId: string
  readonly toolboxProxyUrl: string
}

/** The listeners on this replica, by organization. */
export interface EventRooms {
  /** Adds a listener until its connection ends. Returns false when the organization has the most listeners already. */
  join(socket: Socket, listening: Listening): boolean
  isHeard(organizationId: string): boolean
  of(organizationId: string): { socket: Socket; listening: Listening }[]
  all(): [Socket, Listening][]
  /** Disconnects a listener that reads too slowly. */
  cutOffIfSlow(socket: Socket): void
  readonly size: number
}

export function createEventRooms(): EventRooms {
  const rooms = new Map<string, Map<Socket, Listening>>()
  /** The number of messages that the network has not taken yet. */
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
      // A connection may end before it is announced; its `disconnect` is not emitted then.
      conn.once('close', () => leave(socket, organizationId))
      socket.once('disconnect', () => leave(socket, organizationId))
      return true
    },
    cutOffIfSlow(socket) {
      if ((waiting.get(socket) ?? 0) > MAX_WAITING_MESSAGES) socket.disconnect(true)
    },
  }
}
