import type { SandboxCommand } from '@atoll/protocol'
import { AppError, DESTROYED_READABLE_MS } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import { isUuid } from '../database/uuid.ts'
import { isStorable } from '../http/text-map.ts'
import type { ChangeRequest } from './sandbox-change-store.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

export interface SandboxCommandsOptions {
  store: Pick<SandboxStore, 'change' | 'find' | 'findIdByName'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** A command, or a function that decides it from the row. */
export interface Command extends Pick<ChangeRequest, 'before' | 'reason'> {
  event: SandboxCommand | ((row: SandboxRow) => SandboxCommand)
}

/**
 * Finds a caller's sandboxes by id or name and gives them commands. All methods that take a caller throw SANDBOX_NOT_FOUND,
 * in the same words for an unknown id and for one of another organization.
 */
export interface SandboxCommands {
  /** Returns a sandbox's row. A destroyed one is found by its id for a day. */
  find(caller: Principal, idOrName: string): Promise<SandboxRow>
  /** Returns the id of the sandbox that is meant. An id that is passed in is returned unchecked. */
  idOf(caller: Principal, idOrName: string): Promise<string>
  /** Returns the id of the sandbox that has this name and is not destroyed. */
  idOfName(name: string, organizationId: string): Promise<string | undefined>
  /** Gives a command and returns the row after it. Throws SANDBOX_STATE_CONFLICT, and as its `before` does. */
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

/** The error for an unknown sandbox, in the same words for one of another organization. */
export function sandboxNotFound(id: string): AppError {
  return new AppError('SANDBOX_NOT_FOUND', `Sandbox with ID ${id} not found`)
}
