import type { Config, Secrets } from './config.ts'
import { openControlLink } from './control-link.ts'
import { createDispatcher } from './dispatcher.ts'
import { createHandlers } from './handlers.ts'
import type { Log } from './log.ts'
import { createOutputPipes } from './process/output-pipes.ts'
import { createProcessGroups } from './process/process-groups.ts'
import { createWorkDirectory } from './work-directory.ts'

/** Everything that runs in a toolbox. Disposing it ends all it has started, then the tunnel. */
export function startApp(options: { config: Config; secrets: Secrets; log: Log }): AsyncDisposable {
  const { config, secrets, log } = options
  const work = createWorkDirectory({ dir: config.workDir, home: config.homeDir })
  const groups = createProcessGroups()
  const pipes = createOutputPipes(config.commandEnv)
  const handlers = createHandlers({ work, groups, pipes, commandEnv: config.commandEnv })
  const dispatcher = createDispatcher({ handlers, log })
  const link = openControlLink({
    url: config.controlUrl,
    token: secrets.toolboxToken,
    onRequest: (exchange) => dispatcher.handle(exchange),
    log,
  })
  return {
    async [Symbol.asyncDispose]() {
      // Commands first: the calls that wait for them are then answered before the tunnel closes.
      await groups[Symbol.asyncDispose]()
      await link[Symbol.asyncDispose]()
      pipes[Symbol.dispose]()
    },
  }
}
