import { createLogger } from '../logger.ts'
import { runService, tellSupervisor } from '../run-service.ts'

/** A daemon for run-service.test.ts; argv[2] says how it behaves. */
const mode = process.argv[2]
const log = createLogger('daemon', 'info')

await runService({
  log,
  start: async () => {
    if (mode === 'fail') throw new Error('port 1 is taken')
    const keepAlive = setInterval(() => undefined, 60_000)
    await tellSupervisor({ type: 'ready', url: 'http://127.0.0.1:1' })
    return {
      phases: [
        {
          name: 'first',
          deadlineMs: mode === 'stuck' ? 60_000 : 50,
          run: () => (mode === 'plain' ? undefined : new Promise(() => undefined)),
        },
        {
          name: 'second',
          deadlineMs: 1_000,
          run: () => {
            clearInterval(keepAlive)
            log.info({ token: 'hunter2', nested: { password: 'hunter2' } }, 'second phase ran')
          },
        },
      ],
    }
  },
})
