import { createLogger, runService, tellSupervisor } from '@atoll/service'
import { startRunner } from './app.ts'
import { readConfig } from './config.ts'

const log = createLogger('runner', 'info')
// Folders that sandboxes see are made for all their users to read; private folders are made with a mode of their own.
process.umask(0o022)

await runService({
  log,
  start: async (signal) => {
    const { config, secrets } = readConfig()
    log.level = config.logLevel
    const runner = await startRunner({ config, secrets, log, signal })
    await tellSupervisor({ type: 'ready' })
    return runner
  },
})
