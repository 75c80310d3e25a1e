import type { Leftover, RunningAtoll } from '@atoll/dev-env'
import { findLeftovers, startAtoll } from '@atoll/dev-env'
import { Daytona } from '@daytonaio/sdk'

/** The system under test, with the official SDK as its client. */
export interface System {
  readonly atoll: RunningAtoll
  /** Returns a client for the present run: a restart changes the port. */
  daytona(): Daytona
  /** Returns what a client of another SDK needs for the present run. */
  access(): { apiKey: string; apiUrl: string }
  /** Makes a plain HTTP call with the key, for answers that the SDK hides. */
  call(path: string, init?: RequestInit): Promise<Response>
  /** Ends the system and returns what it left on the host. */
  end(): Promise<Leftover[]>
}

/** Starts a separate system on a free port and a temp data folder. */
export async function startSystem(env: Record<string, string> = {}): Promise<System> {
  const atoll = await startAtoll({ env })
  const access = () => ({ apiKey: atoll.apiKey, apiUrl: `${atoll.url}/api` })
  return {
    atoll,
    access,
    // The target keeps the SDK from looking for .env files.
    daytona: () => new Daytona({ ...access(), target: 'us' }),
    call: (path, init) =>
      fetch(`${atoll.url}/api${path}`, {
        ...init,
        headers: { authorization: `Bearer ${atoll.apiKey}`, ...Object.fromEntries(new Headers(init?.headers)) },
      }),
    async end() {
      await atoll.stop()
      const leftovers = findLeftovers(atoll.dataDir)
      await atoll[Symbol.asyncDispose]()
      return leftovers
    },
  }
}
