import type { InterpreterContext as ContextInfo, InterpreterExecuteRequest } from '@atoll/protocol'
import { CLOSE_ERROR } from '../channels/channel-socket.ts'
import { MAX_TIMEOUT_SECONDS } from '../process/run-to-end.ts'
import type { ExecutionClient, ExecutionTask } from './execution-task.ts'
import { createExecutionTask } from './execution-task.ts'
import type { InterpreterProcess } from './interpreter-process.ts'
import { InterpreterEnded } from './interpreter-process.ts'

/** Executions that may wait in one context. */
export const MAX_WAITING = 32
const DEFAULT_TIMEOUT_SECONDS = 600
/** The time from the interrupt, which code may catch, to the end of its interpreter. */
const INTERRUPT_GRACE_MS = 5_000
const CLOSE_TIMEOUT = 4008
const CLOSE_TRY_LATER = 1013

export interface Execution {
  /** Called when the client can take more. */
  resume(): void
  /** Called when the client is gone: takes the execution out of the queue, or interrupts it. */
  leave(): void
}

/** Runs code, one piece after another, in one interpreter, which is started when needed and again after its end. */
export interface InterpreterContext {
  readonly info: ContextInfo
  execute(request: InterpreterExecuteRequest, client: ExecutionClient): Execution
  /** Starts the interpreter unless it runs. */
  start(): Promise<void>
  /** Ends the interpreter; clients of running and waiting code are told that it was interrupted. */
  end(): void
}

export interface InterpreterContextOptions {
  id: string
  cwd: string
  createdAt: Date
  start: () => Promise<InterpreterProcess>
}

export function createInterpreterContext(options: InterpreterContextOptions): InterpreterContext {
  const waiting: ExecutionTask[] = []
  const current = createInterpreterHolder(options.start)
  let running: ExecutionTask | undefined

  function next(): void {
    if (running !== undefined) return
    running = waiting.shift()
    if (running === undefined) return
    void run(running, { start: current.ensure, onTimeout: stop }).then(() => {
      current.calm()
      running = undefined
      next()
    })
  }

  /** Stops code whose client is gone: running code is interrupted, and its further output dropped. */
  function stop(task: ExecutionTask): void {
    task.leave()
    const index = waiting.indexOf(task)
    if (index !== -1) waiting.splice(index, 1)
    if (task === running) current.interrupt()
  }

  return {
    get info() {
      const { id, cwd, createdAt } = options
      return { id, cwd, createdAt: createdAt.toISOString(), active: current.alive, language: 'python' }
    },
    execute(request, client) {
      const task = createExecutionTask(request, client)
      if (waiting.length >= MAX_WAITING) task.close(CLOSE_TRY_LATER, `${MAX_WAITING} executions wait already`)
      else waiting.push(task)
      next()
      return {
        resume: () => {
          if (task === running) current.resume()
        },
        leave: () => {
          if (task.wanted) stop(task)
        },
      }
    },
    async start() {
      await current.ensure()
    },
    end() {
      for (const task of waiting.splice(0)) task.complete('interrupted')
      running?.complete('interrupted')
      current.end()
    },
  }
}

/** Runs one task to its end. Never rejects. */
async function run(
  task: ExecutionTask,
  { start, onTimeout }: { start: () => Promise<InterpreterProcess>; onTimeout: (task: ExecutionTask) => void },
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  try {
    const interpreter = await start()
    if (!task.wanted) return
    const { code, envs = {}, timeout = DEFAULT_TIMEOUT_SECONDS } = task.request
    const stop = () => {
      task.close(CLOSE_TIMEOUT, 'the execution timed out')
      onTimeout(task)
    }
    if (timeout > 0) timer = setTimeout(stop, Math.min(timeout, MAX_TIMEOUT_SECONDS) * 1000)
    const send = (frame: Readonly<Record<string, unknown>>) => {
      if (!task.send(frame)) interpreter.pause()
    }
    await interpreter.execute({ code, envs }, { onText: (type, text) => send({ type, text }), onEvent: send })
    task.complete('completed')
  } catch (error) {
    if (error instanceof InterpreterEnded) {
      task.send({ type: 'error', name: error.name, value: error.message, traceback: '' })
      task.complete('completed')
    } else {
      task.close(CLOSE_ERROR, error instanceof Error ? error.message : 'the interpreter cannot start')
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Holds the interpreter of a context, which may end and start again. */
function createInterpreterHolder(start: () => Promise<InterpreterProcess>) {
  let interpreter: InterpreterProcess | undefined
  let starting: Promise<InterpreterProcess> | undefined
  let grace: NodeJS.Timeout | undefined
  let over = false
  return {
    get alive() {
      return interpreter?.alive === true
    },
    async ensure(): Promise<InterpreterProcess> {
      if (over) throw new Error('the interpreter context was deleted')
      if (interpreter?.alive) return interpreter
      starting ??= start().finally(() => {
        starting = undefined
      })
      interpreter = await starting
      if (over) interpreter.end()
      return interpreter
    },
    resume: () => interpreter?.resume(),
    /** Interrupts the running code; ends the interpreter if the code does not end within the grace. */
    interrupt() {
      interpreter?.resume()
      interpreter?.interrupt()
      clearTimeout(grace)
      grace = setTimeout(() => interpreter?.end(), INTERRUPT_GRACE_MS)
    },
    /** Called when the code has ended, so that the next has its own time. */
    calm() {
      clearTimeout(grace)
      interpreter?.resume()
    },
    end() {
      over = true
      clearTimeout(grace)
      interpreter?.resume()
      interpreter?.end()
    },
  }
}
