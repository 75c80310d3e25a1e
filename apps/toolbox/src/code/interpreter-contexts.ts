import { randomUUID } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { FeatureParts } from '../feature.ts'
import { findDirectory } from '../process/run-to-end.ts'
import type { InterpreterContext } from './interpreter-context.ts'
import { createInterpreterContext } from './interpreter-context.ts'
import { PythonMissing, startInterpreter } from './interpreter-process.ts'

/** The most contexts beside the default one. */
export const MAX_CONTEXTS = 32
/** The context of code that names none. */
export const DEFAULT_CONTEXT = 'default'

/** The interpreter contexts of a sandbox. */
export interface InterpreterContexts {
  /** Throws BAD_REQUEST for a bad folder and where Python is missing, RATE_LIMITED when there are too many. */
  create(cwd: string | undefined): Promise<InterpreterContext>
  list(): InterpreterContext[]
  /** Returns a context. Throws NOT_FOUND. */
  find(id: string): InterpreterContext
  /** Removes a context. Throws NOT_FOUND, and BAD_REQUEST for the default context. */
  remove(id: string): void
  endAll(): void
}

export function createInterpreterContexts(parts: FeatureParts): InterpreterContexts {
  const contexts = new Map<string, InterpreterContext>()
  let creating = 0

  function make(id: string, cwd: string): InterpreterContext {
    const { pipes, groups, commandEnv } = parts
    const start = () => startInterpreter({ cwd, env: commandEnv, pipes, groups })
    return createInterpreterContext({ id, cwd, createdAt: new Date(), start })
  }

  async function started(cwd: string | undefined): Promise<InterpreterContext> {
    try {
      const context = make(randomUUID(), await findDirectory(parts.work, cwd))
      await context.start()
      return context
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new AppError('BAD_REQUEST', error instanceof PythonMissing ? reason : `no interpreter: ${reason}`)
    }
  }

  function find(id: string): InterpreterContext {
    const known = contexts.get(id)
    if (known !== undefined) return known
    if (id !== DEFAULT_CONTEXT) throw new AppError('NOT_FOUND', `there is no interpreter context ${id.slice(0, 64)}`)
    const context = make(DEFAULT_CONTEXT, parts.work.dir)
    contexts.set(DEFAULT_CONTEXT, context)
    return context
  }

  const list = () => [...contexts.values()].filter((context) => context.info.id !== DEFAULT_CONTEXT)

  return {
    async create(cwd) {
      if (list().length + creating >= MAX_CONTEXTS) {
        throw new AppError('RATE_LIMITED', `there are ${MAX_CONTEXTS} interpreter contexts already`)
      }
      creating += 1
      try {
        const context = await started(cwd)
        contexts.set(context.info.id, context)
        return context
      } finally {
        creating -= 1
      }
    },
    list,
    find,
    remove(id) {
      if (id === DEFAULT_CONTEXT) throw new AppError('BAD_REQUEST', 'the default context cannot be deleted')
      find(id).end()
      contexts.delete(id)
    },
    endAll() {
      for (const context of contexts.values()) context.end()
      contexts.clear()
    },
  }
}
