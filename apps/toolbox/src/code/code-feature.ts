import type { codeChannels, codeOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { createExecuteChannel } from './execute-channel.ts'
import type { InterpreterContexts } from './interpreter-contexts.ts'
import { createRunCode } from './run-code.ts'

/** Runs code: once in a process of its own, or in interpreters that keep their variables. */
export function createCodeFeature(parts: FeatureParts): Feature<typeof codeOperations, typeof codeChannels> {
  let loaded: Promise<InterpreterContexts> | undefined
  const contexts = () => {
    loaded ??= import('./interpreter-contexts.ts').then((module) => module.createInterpreterContexts(parts))
    return loaded
  }
  return {
    handlers: {
      runCode: createRunCode(parts),
      async createInterpreterContext({ body: { cwd, language = 'python' } }) {
        if (language !== '' && language !== 'python') {
          throw new AppError('BAD_REQUEST', 'only python has interpreter contexts')
        }
        return (await (await contexts()).create(cwd)).info
      },
      async listInterpreterContexts() {
        if (loaded === undefined) return { contexts: [] }
        return { contexts: (await loaded).list().map((context) => context.info) }
      },
      async deleteInterpreterContext({ params: { id } }) {
        ;(await contexts()).remove(id)
        return { message: `context ${id} is deleted` }
      },
    },
    channels: { executeInterpreterCode: createExecuteChannel(contexts) },
    // The code ends by its own timeout.
    ownDeadline: ['runCode'],
    async [Symbol.asyncDispose]() {
      if (loaded !== undefined) (await loaded).endAll()
    },
  }
}
