import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { DialHomeRelay, DialHomeRelayOptions } from './dial-home-relay.ts'
import { startDialHomeRelay } from './dial-home-relay.ts'

/** Characters of a folder's name: a sandbox's whole id could make the path too long for a socket. */
const NAME_CHARACTERS = 16

/** The ways by which the toolboxes of sandboxes dial home. */
export interface DialHomes {
  /** Opens a sandbox's way home, if it is not open, and returns the folder of this host that appears as /run/atoll there. */
  open(sandboxId: string): Promise<string>
  /** Closes the way of a sandbox that has ended, and removes its folder. */
  close(sandboxId: string): Promise<void>
  /** Opens the ways of these sandboxes, which run, logging the failure of any, and removes what is left of all others. */
  reconcile(sandboxIds: readonly string[]): Promise<void>
}

/** All sandboxes dial the socket of the API itself, which is on this host, in `folder`. */
export function sharedDialHome(folder: string): DialHomes {
  return { open: async () => folder, close: async () => undefined, reconcile: async () => undefined }
}

/** Each sandbox has a relay of its own in a folder below `folder`, so that none can use up the connections of another. */
export async function openDialHomeRelays(options: DialHomeRelayOptions): Promise<DialHomes & AsyncDisposable> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 })
  return new DialHomeRelays(options)
}

class DialHomeRelays implements DialHomes, AsyncDisposable {
  readonly #options: DialHomeRelayOptions
  readonly #relays = new Map<string, DialHomeRelay>()

  constructor(options: DialHomeRelayOptions) {
    this.#options = options
  }

  async open(sandboxId: string): Promise<string> {
    const folder = this.#folderOf(sandboxId)
    if (!this.#relays.has(folder)) this.#relays.set(folder, await startDialHomeRelay({ ...this.#options, folder }))
    return folder
  }

  async close(sandboxId: string): Promise<void> {
    const folder = this.#folderOf(sandboxId)
    const relay = this.#relays.get(folder)
    this.#relays.delete(folder)
    await relay?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }

  async reconcile(sandboxIds: readonly string[]): Promise<void> {
    const kept = new Set<string>()
    for (const sandboxId of sandboxIds) {
      kept.add(basename(this.#folderOf(sandboxId)))
      await this.open(sandboxId).catch((error: unknown) => {
        this.#options.log.error(
          { err: error, sandboxId },
          'the toolbox of a sandbox cannot dial home until it is started again',
        )
      })
    }
    const left = (await readdir(this.#options.folder)).filter((name) => !kept.has(name))
    for (const name of left) await rm(join(this.#options.folder, name), { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const relays = [...this.#relays.values()]
    this.#relays.clear()
    await Promise.all(relays.map((relay) => relay[Symbol.asyncDispose]()))
  }

  #folderOf(sandboxId: string): string {
    return join(this.#options.folder, createHash('sha256').update(sandboxId).digest('hex').slice(0, NAME_CHARACTERS))
  }
}
