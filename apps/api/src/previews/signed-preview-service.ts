import { createHash, randomInt } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { LRUCache } from 'lru-cache'
import type { Principal } from '../auth/principal.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { SandboxService } from '../sandboxes/sandbox-service.ts'
import type { SignedPreview, SignedPreviewStore } from './signed-preview-store.ts'
import { SIGNED_PREVIEW_CHANNEL } from './signed-preview-store.ts'

export const DEFAULT_SIGNED_PREVIEW_S = 60
export const MAX_SIGNED_PREVIEW_S = 86_400

const TOKEN_LENGTH = 16
const TOKEN_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const SIGNED_TOKEN = /^[0-9a-z]{16}$/

/** The most open links of one sandbox. */
const MAX_PER_SANDBOX = 1_000

/** The most cached links; each takes about 200 bytes. */
const MAX_REMEMBERED = 10_000
/** How long a link that was ended early may stay open when no notification of it arrives. */
const REMEMBERED_TTL_MS = 10_000

export interface SignedPreviewServiceOptions {
  sandboxes: Pick<SandboxService, 'previewAccess'>
  store: SignedPreviewStore
  listener: Pick<DatabaseListener, 'subscribe'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Handles links that open a private preview for a limited time to anyone who has them. */
export interface SignedPreviewService {
  /**
   * Makes a link to a port, open for `seconds`. Throws SANDBOX_NOT_FOUND, and RATE_LIMITED for too many links of one
   * sandbox.
   */
  create(
    caller: Principal,
    idOrName: string,
    link: { port: number; seconds: number },
  ): Promise<{ sandboxId: string; token: string }>
  /** Ends a link. Throws SANDBOX_NOT_FOUND, and NOT_FOUND for a token that is no link of the sandbox at this port. */
  expire(caller: Principal, idOrName: string, link: { port: number; token: string }): Promise<void>
  /** Returns the sandbox that a link opens at this port; undefined when the link is not open. */
  sandboxOf(token: string, port: number): Promise<string | undefined>
}

/** Subscribes to the channel; call it before the listener starts. */
export function createSignedPreviewService(options: SignedPreviewServiceOptions): SignedPreviewService {
  const { sandboxes, store, now } = options
  const remembered = new LRUCache<string, SignedPreview>({ max: MAX_REMEMBERED, ttl: REMEMBERED_TTL_MS })
  // A lookup that was under way when a link ended may return old data: it is not cached.
  let changes = 0
  options.listener.subscribe(SIGNED_PREVIEW_CHANNEL, {
    onNotify(tokenHash) {
      changes += 1
      remembered.delete(tokenHash)
    },
    onListening() {
      changes += 1
      remembered.clear()
    },
  })

  async function find(tokenHash: string): Promise<SignedPreview | undefined> {
    const hit = remembered.get(tokenHash)
    if (hit !== undefined) return hit
    const changesBefore = changes
    const found = await store.find(tokenHash)
    if (found !== undefined && changes === changesBefore) remembered.set(tokenHash, found)
    return found
  }

  return {
    async create(caller, idOrName, { port, seconds }) {
      const { id: sandboxId } = await sandboxes.previewAccess(caller, idOrName)
      const token = generateToken()
      const expiresAt = new Date(now() + seconds * 1_000)
      const limits = { now: new Date(now()), max: MAX_PER_SANDBOX }
      if (!(await store.insert({ tokenHash: hash(token), sandboxId, port, expiresAt }, limits))) {
        throw new AppError('RATE_LIMITED', `A sandbox can have ${MAX_PER_SANDBOX} signed previews at a time`)
      }
      return { sandboxId, token }
    },
    async expire(caller, idOrName, { port, token }) {
      const { id: sandboxId } = await sandboxes.previewAccess(caller, idOrName)
      const tokenHash = hash(token)
      if (!(await store.remove({ tokenHash, sandboxId, port }))) {
        throw new AppError('NOT_FOUND', 'The sandbox has no such signed preview')
      }
      remembered.delete(tokenHash)
    },
    async sandboxOf(token, port) {
      if (!SIGNED_TOKEN.test(token)) return undefined
      const found = await find(hash(token))
      return found?.port === port && found.expiresAt.getTime() > now() ? found.sandboxId : undefined
    },
  }
}

/** Makes a token of 82 random bits, in the characters that a host name may hold. */
function generateToken(): string {
  return Array.from({ length: TOKEN_LENGTH }, () => TOKEN_ALPHABET[randomInt(TOKEN_ALPHABET.length)]).join('')
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
