import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The longest start of a program of the benchmark, in milliseconds. */
const START_DEADLINE_MS = 20_000

const STOP_DEADLINE_MS = 5_000

const ASK_DEADLINE_MS = 60_000

/** A part of the measured system, in a process of its own. */
export interface Program {
  readonly port: number
  /** Returns the peak resident memory since the last call, in bytes. */
  peakMemoryBytes(): Promise<number>
  /**
   * Makes the program collect its garbage once. Before the first full collection V8 does not track buffers, which makes a
   * new process faster than one that has run for a while.
   */
  age(): Promise<void>
  /** Sends the program a question of its own kind and resolves with its answer, within a minute. */
  ask(question: object): Promise<unknown>
  stop(): Promise<void>
}

export interface ProgramOptions {
  args?: readonly string[]
  nodeOptions?: readonly string[]
  env?: Readonly<Record<string, string>>
}

/** Starts `name`, an entry point beside this one, and waits until it listens. */
export async function startProgram(name: string, options: ProgramOptions = {}): Promise<Program> {
  const child = fork(fileURLToPath(new URL(`./${name}.js`, import.meta.url)), options.args, {
    stdio: ['ignore', 2, 2, 'ipc'],
    execArgv: ['--expose-gc', ...(options.nodeOptions ?? [])],
    env: { ...process.env, ...options.env },
  })
  // Each question has a listener until it is answered, and the losing promise of its race has one until the end.
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

/** The interval of memory samples once the parent has asked for memory, in milliseconds. */
const MEMORY_SAMPLE_MS = 20

/** Serves the parent from the child: reports the port, answers questions about memory and its own, ends with the parent. */
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
      // A rejection ends the program, which the parent notices.
      void answerOwn?.(question).then((value) => process.send?.(['answer', value]))
      return
    }
    sample()
    process.send?.(['memory', peak])
    peak = 0
    // Sampling starts only with the first question, because a sample costs more than a call does.
    if (!sampling) setInterval(sample, MEMORY_SAMPLE_MS).unref()
    sampling = true
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.(['ready', port])
}
