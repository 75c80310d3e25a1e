// Commands that set-up runs: quiet while they work, told in full when they fail.
import { spawn } from 'node:child_process'

/** What is kept of a command's output, in bytes: its end says why it failed. */
const KEPT_OUTPUT_BYTES = 64 * 1024
const running = new Set()

/** A command that ended with another status than 0; `output` is the end of what it printed. */
export class CommandError extends Error {
  constructor(words, status, output) {
    super(`${words.join(' ')} ended with ${status}`)
    this.name = 'CommandError'
    this.output = output
  }
}

/**
 * Runs a command to its end and returns its output, stdout and stderr as they came (the last 64 KiB).
 * `visible` gives it this terminal instead. Throws CommandError when it fails or passes `deadlineMs`.
 */
export async function runCommand(words, { env = process.env, cwd, visible = false, deadlineMs } = {}) {
  const [command, ...args] = words
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: visible ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    timeout: deadlineMs,
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-KEPT_OUTPUT_BYTES)
    })
  }
  const status = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
  running.delete(child)
  if (status !== 0) throw new CommandError(words, status, output)
  return output
}

/** Passes SIGINT and SIGTERM on to what runs and ends this process; returns how to leave signals alone again. */
export function endOnSignals() {
  const end = (signal) => {
    for (const child of running) child.kill(signal)
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  const signals = ['SIGINT', 'SIGTERM']
  for (const signal of signals) process.on(signal, end)
  return () => {
    for (const signal of signals) process.removeListener(signal, end)
  }
}
