import type { Principal } from '../../auth/principal.ts'
import type { SandboxCommands } from '../sandbox-commands.ts'
import { sandboxNotFound } from '../sandbox-commands.ts'
import type { SandboxFacts } from '../sandbox-dto.ts'
import { toFacts } from '../sandbox-dto.ts'
import { archiveMinutes } from '../sandbox-plan.ts'
import type { SandboxSettingColumns, SandboxStore } from '../sandbox-store.ts'

const MINUTE_MS = 60_000

export interface SandboxSettingsOptions {
  commands: Pick<SandboxCommands, 'idOf'>
  store: Pick<SandboxStore, 'set'>
  /** Has the timers look: an interval has changed, and may be over by now. */
  wakeTimers: () => void
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Sets what can be set in any state, at once and without a runner. Intervals are minutes. No setting counts as use of the
 * sandbox. All methods throw SANDBOX_NOT_FOUND.
 */
export interface SandboxSettings {
  setPublic(caller: Principal, idOrName: string, isPublic: boolean): Promise<SandboxFacts>
  /** 0: never. */
  setAutoStop(caller: Principal, idOrName: string, minutes: number): Promise<SandboxFacts>
  /** 0 means the longest interval, and a longer one is cut to it. */
  setAutoArchive(caller: Principal, idOrName: string, minutes: number): Promise<SandboxFacts>
  /** Negative: never; 0: as soon as it stops, and at once if it has stopped already. */
  setAutoDelete(caller: Principal, idOrName: string, minutes: number): Promise<SandboxFacts>
  /** Minutes from now; 0: never. */
  setTimeToLive(caller: Principal, idOrName: string, minutes: number): Promise<SandboxFacts>
}

export function createSandboxSettings({ commands, store, wakeTimers, now }: SandboxSettingsOptions): SandboxSettings {
  async function set(caller: Principal, idOrName: string, columns: SandboxSettingColumns): Promise<SandboxFacts> {
    const id = await commands.idOf(caller, idOrName)
    const row = await store.set(id, caller.organizationId, columns)
    if (row === undefined) throw sandboxNotFound(idOrName)
    wakeTimers()
    return toFacts(row)
  }

  return {
    setPublic: (caller, idOrName, isPublic) => set(caller, idOrName, { public: isPublic }),
    setAutoStop: (caller, idOrName, minutes) => set(caller, idOrName, { autoStopMinutes: minutes }),
    setAutoArchive: (caller, idOrName, minutes) =>
      set(caller, idOrName, { autoArchiveMinutes: archiveMinutes(minutes) }),
    setAutoDelete: (caller, idOrName, minutes) => set(caller, idOrName, { autoDeleteMinutes: minutes }),
    setTimeToLive: (caller, idOrName, minutes) => set(caller, idOrName, { autoDestroyAt: destroyAt(now(), minutes) }),
  }
}

/** Returns when a sandbox is deleted that has `minutes` left at `now` (milliseconds since the epoch); null for never. */
export function destroyAt(now: number, minutes: number): Date | null {
  return minutes === 0 ? null : new Date(now + minutes * MINUTE_MS)
}
