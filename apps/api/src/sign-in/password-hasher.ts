import { randomBytes } from 'node:crypto'
import { hash, verify } from '@node-rs/argon2'
import { createTurnstile } from '../http/turnstile.ts'

/** Argon2id as OWASP advises: 19 MiB, 2 passes, 1 lane; about 30 ms of a core. */
const PARAMETERS = { algorithm: 2, memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }

/** The most hashes at a time, each of 19 MiB on a thread that file and name lookups need as well. */
const MAX_RUNNING = 2
/** The most sign-ins that wait for a hash; the last of them waits a second or two. Further ones are told to come back. */
const MAX_WAITING = 64

/** Hashes passwords slowly and with much memory, off the event loop. Throws SERVICE_UNAVAILABLE when too many wait. */
export interface PasswordHasher {
  hash(password: string): Promise<string>
  /** Returns false without a hash, after the time that a check takes. */
  verify(passwordHash: string | undefined, password: string): Promise<boolean>
}

export function createPasswordHasher(): PasswordHasher {
  const turn = createTurnstile({ max: MAX_RUNNING, maxWaiting: MAX_WAITING, refusal: 'Too many sign-ins at once' })
  let decoy: Promise<string> | undefined

  const hashOf = (password: string) => turn(() => hash(toBytes(password), PARAMETERS))

  async function decoyHash(): Promise<string> {
    decoy ??= hashOf(randomBytes(16).toString('hex')).catch((error: unknown) => {
      decoy = undefined
      throw error
    })
    return await decoy
  }

  return {
    hash: hashOf,
    async verify(passwordHash, password) {
      const compared = passwordHash ?? (await decoyHash())
      const isRight = await turn(() => verify(compared, toBytes(password)))
      return isRight && passwordHash !== undefined
    },
  }
}

/** Different keyboards may encode the same password as different characters, so it is normalized. */
function toBytes(password: string): Buffer {
  return Buffer.from(password.normalize('NFKC'))
}
