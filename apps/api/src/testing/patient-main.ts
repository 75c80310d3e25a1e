import { runService, tellSupervisor } from '@atoll/service'
import { readConfig } from '../config.ts'
import { createApiLogger } from '../error-log.ts'
import { startApi } from '../start-api.ts'

/** A deadline far above the time of any shutdown phase, so that a busy machine cuts none of them off. */
const PHASE_DEADLINE_MS = 60_000

/** The API as `main.ts` runs it, for tests of a shutdown that takes the time it needs. */
const log = createApiLogger('api')

await runService({
  log,
  start: async () => {
    const { config, secrets } = readConfig()
    log.level = config.logLevel
    const { url, phases } = await startApi({ config, secrets, log })
    await tellSupervisor({ type: 'ready', url })
    return { phases: phases.map((phase) => ({ ...phase, deadlineMs: PHASE_DEADLINE_MS })) }
  },
})
