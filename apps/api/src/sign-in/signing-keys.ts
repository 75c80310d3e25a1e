import type { KeyObject } from 'node:crypto'
import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { Database } from '../database/database.ts'
import type { Sealer } from '../secrets/sealer.ts'
import { generateRsaKeyPair } from '../users/key-pair.ts'
import type { SigningKeyRow } from './signing-key-store.ts'
import { createSigningKeyStore } from './signing-key-store.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** How long a key signs; then another is made. */
const SIGNS_MS = 30 * DAY_MS
/** How long a key verifies: a day longer, far more than the lifetime of its tokens. */
const VERIFIES_MS = SIGNS_MS + DAY_MS
/** The table is read again for an unknown key id, but at most this often. */
const MIN_RELOAD_MS = 1_000

/** The algorithm that signs access tokens. */
export const SIGNING_ALGORITHM = 'RS256'

export interface SigningKey {
  readonly id: string
  readonly privateKey: KeyObject
}

/** Keeps the keys of access tokens in the database, so that every replica signs with the same keys and accepts them. */
export interface SigningKeys {
  /** Returns the key to sign with; makes one when there is none, or when the newest has signed for 30 days. */
  current(): Promise<SigningKey>
  /** Returns undefined for an unknown id. */
  publicKey(id: string): Promise<KeyObject | undefined>
  /** Returns the keys that verify this system's tokens, as a JSON Web Key Set. */
  published(): Promise<{ keys: Record<string, unknown>[] }>
}

/** `now` is in milliseconds. */
export function createSigningKeys(options: { database: Database; sealer: Sealer; now: () => number }): SigningKeys {
  const { database, sealer, now } = options
  const store = createSigningKeyStore(database.db)
  let known: SigningKeyRow[] = []
  let loadedAt = Number.NEGATIVE_INFINITY
  let opened: SigningKey | undefined

  async function load(): Promise<void> {
    known = await store.list()
    loadedAt = now()
  }

  function open(row: SigningKeyRow): SigningKey | undefined {
    if (opened?.id === row.id) return opened
    try {
      opened = { id: row.id, privateKey: createPrivateKey(sealer.open(row.sealedPrivateKey, placeOf(row.id))) }
      return opened
    } catch (error) {
      // A key sealed with a sealing key that this server no longer has is replaced; its tokens stay valid.
      if (error instanceof AppError && error.code === 'SECRET_UNREADABLE') return undefined
      throw error
    }
  }

  function usable(rows: readonly SigningKeyRow[]): SigningKey | undefined {
    const fresh = rows.filter(({ createdAt }) => createdAt.getTime() > now() - SIGNS_MS)
    for (const row of fresh) {
      const key = open(row)
      if (key !== undefined) return key
    }
    return undefined
  }

  async function rotate(): Promise<SigningKey> {
    const row = await newRow(sealer, new Date(now()))
    const rows = await database.transaction(async (tx) => {
      const locked = createSigningKeyStore(tx)
      await locked.lock()
      // Another replica may have made a key first.
      const before = await locked.list()
      if (usable(before) !== undefined) return before
      await locked.insert(row)
      await locked.deleteOlderThan(new Date(now() - VERIFIES_MS))
      return await locked.list()
    })
    known = rows
    const key = usable(rows)
    if (key === undefined) throw new Error('the new signing key cannot be used')
    return key
  }

  return {
    async current() {
      const key = usable(known)
      if (key !== undefined) return key
      await load()
      return usable(known) ?? (await rotate())
    },
    async publicKey(id) {
      const find = () => known.find((row) => row.id === id)
      if (find() === undefined && now() - loadedAt >= MIN_RELOAD_MS) await load()
      const row = find()
      return row && createPublicKey({ key: row.publicJwk, format: 'jwk' })
    },
    async published() {
      if (now() - loadedAt >= MIN_RELOAD_MS) await load()
      return { keys: known.map(({ publicJwk }) => publicJwk) }
    },
  }
}

async function newRow(sealer: Sealer, createdAt: Date): Promise<SigningKeyRow> {
  const id = randomUUID()
  const { publicKey, privateKey } = await generateRsaKeyPair()
  const jwk = createPublicKey(publicKey).export({ format: 'jwk' })
  return {
    id,
    publicJwk: { ...jwk, kid: id, alg: SIGNING_ALGORITHM, use: 'sig' },
    sealedPrivateKey: sealer.seal(privateKey, placeOf(id)),
    createdAt,
  }
}

function placeOf(id: string) {
  return { table: 'signing_keys', row: id, column: 'sealed_private_key' }
}
