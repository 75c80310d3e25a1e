import { startApp } from './app.ts'
import { ConfigError, loadConfig } from './config.ts'
import { createLog, describeError } from './log.ts'
import { keepYoungGenerationSmall } from './young-generation.ts'

// The reader of the log may go away, as a runner that is restarted does; the sandbox must not end with it.
process.stderr.on('error', () => {})
const log = createLog((line) => process.stderr.write(line))

try {
  const { config, secrets } = loadConfig(process.env)
  const app = startApp({ config, secrets, log })
  keepYoungGenerationSmall()
  let stopping = false
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (stopping) process.exit(1)
      stopping = true
      log.info('shutting down', { reason: name })
      app[Symbol.asyncDispose]().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error('shutdown failed', { error: describeError(error) })
          process.exit(1)
        },
      )
    })
  }
} catch (error) {
  log.error('failed to start', { error: error instanceof ConfigError ? error.message : describeError(error) })
  process.exitCode = 1
}
