import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** How long a program of the benchmark may take to start, in milliseconds. */
const START_DEADLINE_MS = 20_000

const STOP_DEADLINE_MS = 5_000

const ASK_DEADLINE_MS = 60_000

/** A part of the measured system, in a process of its own. */
export interface Program {
  readonly port: number
  /** Peak resident memory since the last call, in bytes. */
  peakMemoryBytes(): Promise<number>
  /**
   * Makes it collect its garbage once. Until the first full collection V8 lets buffers come and go unwatched, which
   * no process enjoys that has run for a while.
   */
  age(): Promise<void>
  /** Asks what only this program knows to answer, which may take up to a minute. */
  ask(question: object): Promise<unknown>
  stop(): Promise<void>
}

export interface ProgramOptions {
  args?: readonly string[]
  nodeOptions?: readonly string[]
  env?: Readonly<Record<string, string>>
}

/** Starts `name`, an entry point beside this one, and waits until it serves. */
export async function startProgram(name: string, options: ProgramOptions = {}): Promise<Program> {
  const child = fork(fileURLToPath(new URL(`./${name}.js`, import.meta.url)), options.args, {
    stdio: ['ignore', 2, 2, 'ipc'],
    execArgv: ['--expose-gc', ...(options.nodeOptions ?? [])],
    env: { ...process.env, ...options.env },
  })
  // Each question listens until it is answered, and the losing half of its race until the end.
  child.setMaxListeners(0)
  const [port] = await answer(child, 'ready')
  if (typeof port !== 'number') throw new Error(`${name} told no port`)
  return {
    port,
    async peakMemoryBytes() {
      child.send('memory')
      const [bytes] = await answer(child, 'memory')
      return Number(bytes)
    },
    async age() {
      child.send('age')
      await answer(child, 'aged')
    },
    async ask(question) {
      child.send(question)
      const [value] = await answer(child, 'answer', ASK_DEADLINE_MS)
      return value
    },
    async stop() {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      if (child.connected) child.disconnect()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      clearTimeout(timer)
    },
  }
}

async function answer(child: ChildProcess, type: string, withinMs = START_DEADLINE_MS): Promise<unknown[]> {
  const signal = AbortSignal.timeout(withinMs)
  const exited = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`a program of the benchmark ended with code ${code}`)
  })
  exited.catch(() => {})
  for (;;) {
    const [message] = await Promise.race([once(child, 'message', { signal }), exited])
    if (Array.isArray(message) && message[0] === type) return message.slice(1)
  }
}

/** How often memory is looked at once the parent has asked for it, in milliseconds. */
const MEMORY_SAMPLE_MS = 20

/** The child's side: tells the port, answers questions about memory and its own, and ends with its parent. */
export function serveParent(port: number, answerOwn?: (question: unknown) => Promise<unknown>): void {
  let peak = 0
  let sampling = false
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  process.on('message', (question) => {
    if (question === 'age') {
      globalThis.gc?.()
      process.send?.(['aged'])
      return
    }
    if (question !== 'memory') {
      // What it rejects with ends the program, and is seen by its parent.
      void answerOwn?.(question).then((value) => process.send?.(['answer', value]))
      return
    }
    sample()
    process.send?.(['memory', peak])
    peak = 0
    // Not before: looking costs more than a call does.
    if (!sampling) setInterval(sample, MEMORY_SAMPLE_MS).unref()
    sampling = true
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.(['ready', port])
}
