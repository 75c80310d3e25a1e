import { spawn } from 'node:child_process'

/** Time for one call of `ip`, `nft` or `iptables`; they take milliseconds. */
const COMMAND_DEADLINE_MS = 10_000
/** Bound on what is kept of a command's output; more ends it. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024

/** Thrown when a command could not start, failed or was ended; the message holds the first line it complained with. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/**
 * Runs a program of the host to its end with `input` on its stdin and returns its stdout.
 * Throws CommandError on a status other than 0, after 10 s, or past 4 MiB of output.
 */
export function runCommand(argv: readonly [string, ...string[]], input = ''): Promise<string> {
  const [program, ...args] = argv
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: COMMAND_DEADLINE_MS })
    const output = collect(child.stdout, () => child.kill('SIGKILL'))
    const complaints = collect(child.stderr, () => child.kill('SIGKILL'))
    child.on('error', (cause) => reject(new CommandError(`${program} cannot be started`, { cause })))
    // A program that ends without reading its input closes the pipe; its status tells the story.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(output())
      const complaint = complaints().trim().split('\n', 1)[0] || `ended with ${signal ?? status}`
      reject(new CommandError(`${program}: ${complaint}`))
    })
  })
}

function collect(stream: NodeJS.ReadableStream, onOverflow: () => void): () => string {
  const pieces: Buffer[] = []
  let bytes = 0
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes > MAX_OUTPUT_BYTES) onOverflow()
    else pieces.push(piece)
  })
  return () => Buffer.concat(pieces).toString('utf8')
}
