import type { UpdateEnv } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'

/** Bounds of the environment: its variables, and the bytes of all names and values. They are below the kernel's own bound. */
const MAX_VARIABLES = 4096
export const MAX_VARIABLES_BYTES = 1024 * 1024

/** The variables that started commands inherit: one set for the whole toolbox, changed only through `change`. */
export interface CommandEnvironment {
  /** The present variables, also after a change. */
  readonly values: Readonly<Record<string, string>>
  /** Makes the whole change or none. Throws VALIDATION_FAILED for variables that no environment can hold. */
  change(change: UpdateEnv): void
}

export function createCommandEnvironment(initial: Readonly<Record<string, string>>): CommandEnvironment {
  const values: Record<string, string> = Object.assign(Object.create(null), initial)
  return {
    values,
    change({ set = {}, unset = [], unsetValuePrefix }) {
      const next = new Map(Object.entries(values))
      for (const name of unset) next.delete(name)
      if (unsetValuePrefix !== undefined) {
        for (const [name, value] of next) if (value.startsWith(unsetValuePrefix)) next.delete(name)
      }
      for (const [name, value] of Object.entries(set)) next.set(name, value)
      checkVariables('set', set)
      checkSize(next)
      for (const name of Object.keys(values)) delete values[name]
      Object.assign(values, Object.fromEntries(next))
    },
  }
}

/** Throws VALIDATION_FAILED for variables that no environment can hold; `field` is the name under which they were given. */
export function checkVariables(field: string, variables: Readonly<Record<string, string>> = {}): void {
  for (const [name, value] of Object.entries(variables)) {
    if (name === '' || /[=\0]/.test(name) || value.includes('\0')) {
      throw new AppError('VALIDATION_FAILED', `${field} has a name or value no environment can hold`)
    }
  }
}

function checkSize(all: ReadonlyMap<string, string>): void {
  let bytes = 0
  for (const [name, value] of all) bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 2
  if (all.size > MAX_VARIABLES || bytes > MAX_VARIABLES_BYTES) {
    throw new AppError(
      'VALIDATION_FAILED',
      `the environment would be over ${MAX_VARIABLES} variables or ${MAX_VARIABLES_BYTES} bytes`,
    )
  }
}
