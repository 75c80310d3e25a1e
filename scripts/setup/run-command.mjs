// Runs the commands of set-up: their output is shown only when they fail.
import { spawn } from 'node:child_process'

/** The bytes kept of a command's output: its end says why it failed. */
const KEPT_OUTPUT_BYTES = 64 * 1024
const running = new Set()

/** Thrown for a command that ended with another status than 0; `output` is the end of its output. */
export class CommandError extends Error {
  constructor(words, status, output) {
    super(`${words.join(' ')} ended with ${status}`)
    this.name = 'CommandError'
    this.output = output
  }
}

/**
 * Runs a command to its end and returns its output, the last 64 KiB of stdout and stderr in the order they came.
 * With `visible` the command writes to this terminal instead. Throws CommandError if it fails or passes `deadlineMs`.
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

/** Passes SIGINT and SIGTERM on to running commands and ends this process; returns a function that undoes this. */
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
