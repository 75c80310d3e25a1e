import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CodeRunRequest } from '@atoll/protocol'
import { AppError, SANDBOX_TOOLS_DIR } from '@atoll/protocol'
import type { CommandLine } from '../process/command-line.ts'

/** Linux's MAX_ARG_STRLEN, which counts the terminating NUL, less the option's name. */
const MAX_ARGUMENT_BYTES = 128 * 1024 - 64
/** The most bytes of all arguments together; Linux allows 2 MiB with the environment. */
const MAX_ARGUMENTS_BYTES = 1024 * 1024

/** The folder of the Python programs, beside this file in src/ as in dist/. */
const PYTHON_DIR = fileURLToPath(new URL('./python', import.meta.url))
const CHARTS_FILE = join(PYTHON_DIR, 'charts.py')
const RUN_ONCE_FILE = join(PYTHON_DIR, 'run_once.py')
/** The arguments of the Python that runs code in a context; the program's first argument is CHARTS_FILE. */
export const INTERPRETER_COMMAND = ['-u', join(PYTHON_DIR, 'interpreter.py'), CHARTS_FILE] as const

/** Starts Node.js with its code as standard input, from descriptor 3, so that the code itself reads an end of file. */
const NODE_SCRIPT = 'exec node "$@" <&3 3<&-'
/** Matches enough to recognise an ES module, which Node 20 does not do by itself. */
const ES_MODULE =
  /^[ \t]*(?:import\s*(?:[\w$*{'"][^\n(]*['"]|\{)|export\s+(?:default|const|let|var|function|class|async|\{|\*))/m

/** Returns the command that runs code in a language. Throws VALIDATION_FAILED and PAYLOAD_TOO_LARGE for bad arguments. */
export function codeLine({ code, language, argv = [] }: CodeRunRequest): CommandLine {
  check(code, argv)
  switch (language) {
    case 'python':
      return { file: 'python3', args: ['-u', RUN_ONCE_FILE, CHARTS_FILE, ...argv], script: code }
    case 'javascript':
      return {
        file: '/bin/sh',
        args: ['-c', NODE_SCRIPT, 'sh', ...(ES_MODULE.test(code) ? ['--input-type=module'] : []), '-', ...argv],
        script: code,
      }
    case 'typescript':
      return { file: tsNode(), args: typescriptArguments(code, argv), script: undefined }
  }
}

/** Returns the message for a missing program of a language. */
export function howToInstall(language: CodeRunRequest['language']): string {
  if (language === 'python')
    return 'python3 is not in this sandbox; install it (apt-get install python3) or use an image with it'
  return 'Node.js is not in this sandbox; install it (apt-get install nodejs) or use an image with it'
}

/** Returns the arguments that the SDKs up to 0.11x use: `x` stands for a script's name. */
function typescriptArguments(code: string, argv: readonly string[]): string[] {
  if (Buffer.byteLength(code) > MAX_ARGUMENT_BYTES) {
    throw new AppError(
      'PAYLOAD_TOO_LARGE',
      'TypeScript code must not be over 128 KiB; upload it as a file and run that',
    )
  }
  // Code that starts with a dash would be taken for an option.
  return ['-O', '{"module":"CommonJS"}', '-e', code.startsWith('-') ? ` ${code}` : code, 'x', ...argv]
}

function tsNode(): string {
  const injected = join(SANDBOX_TOOLS_DIR, 'bin/ts-node')
  return existsSync(injected) ? injected : 'ts-node'
}

function check(code: string, argv: readonly string[]): void {
  if (code.trim() === '') throw new AppError('VALIDATION_FAILED', 'body: code must not be empty')
  if ([code, ...argv].some((text) => text.includes('\0'))) {
    throw new AppError('VALIDATION_FAILED', 'body: code and argv must not contain a NUL character')
  }
  const bytes = argv.map((text) => Buffer.byteLength(text))
  if (Math.max(0, ...bytes) > MAX_ARGUMENT_BYTES || bytes.reduce((sum, one) => sum + one, 0) > MAX_ARGUMENTS_BYTES) {
    throw new AppError('PAYLOAD_TOO_LARGE', 'an argument must not be over 128 KiB, nor all together over 1 MiB')
  }
}
