import type { Logger } from './logger.ts'

/** One step of a shutdown. Phases run in order; each has a deadline after which the next begins. */
export interface ShutdownPhase {
  name: string
  deadlineMs: number
  run: () => Promise<void> | void
}

export interface RunningService {
  /** In the order to run. */
  phases: ShutdownPhase[]
}

export interface RunOptions {
  name: string
  log: Logger
  /** Starts everything; a throw ends the process with status 1 after its message is logged. `signal` aborts at the first stop signal. */
  start: (signal: AbortSignal) => Promise<RunningService>
}

/**
 * Runs a daemon: starts it, waits for SIGTERM, SIGINT or SIGHUP, shuts down phase by phase and exits 0. A
 * second signal exits 1 at once. A phase that fails or passes its deadline is logged and the next begins.
 */
export async function runService(options: RunOptions): Promise<void> {
  const controller = new AbortController()
  const stopping = stopSignal(controller)
  let service: RunningService
  try {
    service = await options.start(controller.signal)
  } catch (error) {
    options.log.fatal({ err: error }, 'failed to start')
    process.exit(1)
  }
  const signal = await stopping
  options.log.info({ signal }, 'shutting down')
  await shutDown(service.phases, options.log)
  process.exit(0)
}

/** Runs the phases; exported for tests and for owners that are not processes. */
export async function shutDown(phases: readonly ShutdownPhase[], log: Logger): Promise<void> {
  for (const phase of phases) {
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), phase.deadlineMs)
    })
    try {
      const outcome = await Promise.race([Promise.resolve(phase.run()), deadline])
      if (outcome === 'late')
        log.warn({ phase: phase.name, deadlineMs: phase.deadlineMs }, 'shutdown phase passed its deadline')
    } catch (error) {
      log.error({ err: error, phase: phase.name }, 'shutdown phase failed')
    } finally {
      clearTimeout(timer)
    }
  }
}

function stopSignal(controller: AbortController): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(1)
        controller.abort(new Error(name))
        resolve(name)
      })
    }
  })
}
