import { runService, tellSupervisor } from '@atoll/service'
import { readConfig } from './config.ts'
import { createApiLogger } from './error-log.ts'
import { startApi } from './start-api.ts'

const log = createApiLogger('api')

await runService({
  log,
  start: async () => {
    const { config, secrets } = readConfig()
    log.level = config.logLevel
    const api = await startApi({ config, secrets, log })
    await tellSupervisor({ type: 'ready', url: api.url })
    return api
  },
})
