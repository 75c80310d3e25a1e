import type { SandboxCommand } from '@atoll/protocol'
import { AppError, DESTROYED_READABLE_MS } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import { isUuid } from '../database/uuid.ts'
import type { ChangeRequest } from './sandbox-change-store.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { isStorable } from './text-map.ts'

export interface SandboxCommandsOptions {
  store: Pick<SandboxStore, 'change' | 'find' | 'findIdByName'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** A command, or what decides it from the row as it is. */
export interface Command extends Pick<ChangeRequest, 'before' | 'reason'> {
  event: SandboxCommand | ((row: SandboxRow) => SandboxCommand)
}

/**
 * Finds a caller's sandboxes by id or name and gives them commands. All throw SANDBOX_NOT_FOUND, in the same words for
 * an unknown id and for one of another organization.
 */
export interface SandboxCommands {
  /** A destroyed one too, for a day, by its id. */
  find(caller: Principal, idOrName: string): Promise<SandboxRow>
  /** Which sandbox is meant; an id that is given back may yet be unknown. */
  idOf(caller: Principal, idOrName: string): Promise<string>
  /** The id of what has this name and is not destroyed. */
  idOfName(name: string, organizationId: string): Promise<string | undefined>
  /** Answers the row after the command. Throws SANDBOX_STATE_CONFLICT, and what its `before` throws. */
  give(caller: Principal, idOrName: string, command: Command): Promise<SandboxRow>
}

export function createSandboxCommands({ store, now }: SandboxCommandsOptions): SandboxCommands {
  const destroyedAfter = () => new Date(now() - DESTROYED_READABLE_MS)

  async function idOfName(name: string, organizationId: string): Promise<string | undefined> {
    return isStorable(name) ? await store.findIdByName(name, organizationId) : undefined
  }

  async function idOf(caller: Principal, idOrName: string): Promise<string> {
    if (isUuid(idOrName)) return idOrName
    const id = await idOfName(idOrName, caller.organizationId)
    if (id === undefined) throw sandboxNotFound(idOrName)
    return id
  }

  return {
    idOf,
    idOfName,
    async find(caller, idOrName) {
      const row = await store.find(await idOf(caller, idOrName), caller.organizationId, destroyedAfter())
      if (row === undefined) throw sandboxNotFound(idOrName)
      return row
    },
    async give(caller, idOrName, command) {
      const id = await idOf(caller, idOrName)
      const actor = { kind: 'user', id: caller.userId } as const
      const result = await store.change({ id, organizationId: caller.organizationId, actor, ...command })
      if (result === undefined || isForgotten(result.row)) throw sandboxNotFound(idOrName)
      if (result.outcome.kind === 'refused') {
        throw new AppError(result.outcome.refusal.code, result.outcome.refusal.message)
      }
      return result.row
    },
  }

  function isForgotten(row: SandboxRow): boolean {
    return row.state === 'destroyed' && row.changedAt <= destroyedAfter()
  }
}

/** The same for an unknown id and for one of another organization. */
export function sandboxNotFound(id: string): AppError {
  return new AppError('SANDBOX_NOT_FOUND', `Sandbox with ID ${id} not found`)
}
