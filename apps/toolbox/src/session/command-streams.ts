import { close } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { InputPipe, OutputPipe, OutputPipes } from '../process/output-pipes.ts'
import { openNamelessFile } from './nameless-file.ts'
import type { OutputLog, OutputStream } from './output-log.ts'
import type { SessionCommand } from './session-command.ts'
import type { ShellCommand } from './session-shell.ts'

/** The longest command that a shell reads from its own input, byte by byte; it reads a longer one from a file. */
const MAX_INLINE_CHARS = 8 * 1024

/** The files and pipes of one command, as paths for the shell. */
export interface CommandStreams {
  readonly shellCommand: ShellCommand
  /** Records the rest of the output of a command that has ended. Background processes may go on writing. */
  close(): void
}

interface Opened {
  script?: FileHandle
  stdin?: InputPipe
  stdout?: OutputPipe
  stderr?: OutputPipe
}

/** Starts recording the command's output. Throws a plain Error when the streams cannot be made. */
export async function openCommandStreams(
  command: SessionCommand,
  { text, pipes }: { text: string; pipes: OutputPipes },
): Promise<CommandStreams> {
  const { id, log, input } = command
  const opened: Opened = {}
  try {
    if (text.length > MAX_INLINE_CHARS) {
      opened.script = await openNamelessFile()
      await opened.script.writeFile(`${text}\n`)
    }
    if (input !== undefined) opened.stdin = made(await pipes.takeInput())
    const stdout = made(await pipes.take())
    opened.stdout = stdout
    const stderr = made(await pipes.take())
    opened.stderr = stderr
    if (opened.stdin !== undefined) input?.open(opened.stdin)
    record(stdout, 'stdout', log)
    record(stderr, 'stderr', log)
    const script = opened.script && `/proc/${process.pid}/fd/${opened.script.fd}`
    const stdin = opened.stdin?.path ?? '/dev/null'
    return {
      shellCommand: { id, text, script, stdin, stdout: stdout.path, stderr: stderr.path },
      close() {
        stdout.drain()
        stderr.drain()
        closeAll(opened)
      },
    }
  } catch (error) {
    closeAll(opened)
    throw error
  }
}

function made<Pipe>(pipe: Pipe | undefined): Pipe {
  if (pipe === undefined) throw new Error('no pipes can be made: is mkfifo there, and room for temporary files?')
  return pipe
}

/** Records the output as it arrives, also that of background processes after the command's end. */
function record(pipe: OutputPipe, stream: OutputStream, log: OutputLog): void {
  const { reader } = pipe
  // An error ends that output as its end does.
  reader.on('error', () => {})
  pipe.listen((chunk) => {
    log.append(stream, chunk)
    if (!log.full || reader.isPaused()) return
    reader.pause()
    log.onDrain(() => reader.resume())
  })
}

function closeAll({ script, stdin, stdout, stderr }: Opened): void {
  // The script's content is not needed any more, so a failed close does not matter.
  script?.close().catch(() => {})
  stdin?.[Symbol.dispose]()
  for (const pipe of [stdout, stderr]) {
    // Closing fails only for an invalid number, and these numbers are ours.
    if (pipe !== undefined) close(pipe.writeFd, () => {})
  }
}
