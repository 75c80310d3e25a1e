import { accessSync, constants } from 'node:fs'
import { createClaimGate } from './claim-gate.ts'
import { createCommandEnvironment } from './command-environment.ts'
import type { Config, Secrets } from './config.ts'
import { openControlLink } from './control-link.ts'
import { createDispatcher } from './dispatcher.ts'
import { createFeatures } from './features.ts'
import type { Log } from './log.ts'
import { createOutputPipes } from './process/output-pipes.ts'
import { createProcessGroups } from './process/process-groups.ts'
import { rehearse } from './rehearse.ts'
import { createWorkDirectory } from './work-directory.ts'

/** Starts everything that runs in a toolbox. Disposing it ends all it has started, then the tunnel. */
export function startApp(options: { config: Config; secrets: Secrets; log: Log }): AsyncDisposable {
  const { config, secrets, log } = options
  const { homeDir: home, projectDir: project } = config
  // An image may name a folder that is closed to the sandbox's user.
  const work = createWorkDirectory({ dir: canEnter(config.workDir) ? config.workDir : project, home, project })
  const groups = createProcessGroups()
  const environment = createCommandEnvironment(config.commandEnv)
  const commandEnv = environment.values
  const pipes = createOutputPipes(commandEnv)
  const gate = createClaimGate({ awaitsClaim: config.awaitsClaim, environment, log })
  const { claimed } = gate
  const { entrypoint } = config
  const features = createFeatures({ work, groups, pipes, environment, commandEnv, entrypoint, claimed, log })
  const dispatcher = createDispatcher({ features, log })
  if (config.awaitsClaim) rehearse({ work, groups, pipes, commandEnv, log })
  const link = openControlLink({
    url: config.controlUrl,
    token: secrets.toolboxToken,
    onRequest: (exchange) => gate.handle(exchange, dispatcher),
    log,
  })
  return {
    async [Symbol.asyncDispose]() {
      // Ends commands first, so that the calls that wait for them are answered before the tunnel closes.
      await Promise.all([groups[Symbol.asyncDispose](), features[Symbol.asyncDispose]()])
      await link[Symbol.asyncDispose]()
      pipes[Symbol.dispose]()
    },
  }
}

function canEnter(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK)
    return true
  } catch {
    // The folder does not exist, or is closed to this user.
    return false
  }
}
