import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Socket } from 'socket.io'
import type { EventRooms, Introduction, Listening } from './event-rooms.ts'

/** The number of credentials checked at a time. */
const CHECKS_AT_ONCE = 8

/** Returns the organization that a credential may listen to. Throws the errors of the credential's HTTP calls. */
export type Identify = (introduced: Introduction) => Promise<string>

/**
 * Checks every credential again and disconnects listeners that lost access. Rounds run one at a time; a call during a
 * round starts one more afterwards.
 */
export function createCredentialRecheck(rooms: EventRooms, identify: Identify, log: Logger): () => void {
  let running = false
  let again = false

  async function check(socket: Socket, listening: Listening): Promise<void> {
    try {
      if ((await identify(listening)) !== listening.organizationId) socket.disconnect(true)
    } catch (error) {
      if (error instanceof AppError && error.status < 500) socket.disconnect(true)
      else log.warn({ err: error }, "a listener's credential could not be looked at")
    }
  }

  async function run(): Promise<void> {
    while (again) {
      again = false
      const all = rooms.all()
      for (let at = 0; at < all.length; at += CHECKS_AT_ONCE) {
        await Promise.all(all.slice(at, at + CHECKS_AT_ONCE).map(([socket, listening]) => check(socket, listening)))
      }
    }
    running = false
  }

  return () => {
    again = true
    if (running || rooms.size === 0) return
    running = true
    void run()
  }
}
