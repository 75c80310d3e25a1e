import type { Logger } from './logger.ts'

/** One phase of a shutdown. Phases run in order; after its deadline the next one begins. */
export interface ShutdownPhase {
  name: string
  deadlineMs: number
  run: () => Promise<void> | void
}

export interface RunningService {
  /** The phases of the shutdown, in order. */
  phases: ShutdownPhase[]
}

export interface RunOptions {
  log: Logger
  /** Starts the service; an error is logged and ends the process with status 1. `signal` aborts at the first stop. */
  start: (signal: AbortSignal) => Promise<RunningService>
}

/**
 * Runs a daemon: starts it, waits for SIGTERM, SIGINT, SIGHUP or the end of its supervisor (a closed IPC channel), shuts
 * down phase by phase and exits 0. A second signal exits 1 at once. If a phase fails or passes its deadline, that is
 * logged and the next begins.
 */
export async function runService(options: RunOptions): Promise<void> {
  const controller = new AbortController()
  const stopping = stopSignal(controller)
  let service: RunningService
  try {
    service = await options.start(controller.signal)
  } catch (error) {
    options.log.fatal({ err: error }, 'failed to start')
    await tellSupervisor({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    process.exit(1)
  }
  const reason = await stopping
  options.log.info({ reason }, 'shutting down')
  await shutDown(service.phases, options.log)
  process.exit(0)
}

/** A message of a daemon to the supervisor that started it, over Node's IPC channel. */
export type SupervisorMessage = { type: 'ready'; url?: string } | { type: 'failed'; message: string }

/** Sends a message to the supervisor and waits until it has left; does nothing without a supervisor. */
export function tellSupervisor(message: SupervisorMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.send || !process.connected) return resolve()
    process.send(message, undefined, {}, () => resolve())
  })
}

/** Runs the phases; exported for tests and for callers that do not own a whole process. */
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

type StopReason = NodeJS.Signals | 'supervisor gone'

function stopSignal(controller: AbortController): Promise<StopReason> {
  return new Promise((resolve) => {
    const stop = (reason: StopReason) => {
      controller.abort(new Error(reason))
      resolve(reason)
    }
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(1)
        stop(name)
      })
    }
    // A killed supervisor sends no signal: its closed channel is the only notice.
    if (process.connected) process.once('disconnect', () => stop('supervisor gone'))
  })
}
