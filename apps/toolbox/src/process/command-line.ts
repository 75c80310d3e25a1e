import { existsSync } from 'node:fs'

/** A program and its arguments, with what it should read as a script where that is too long to be an argument. */
export interface CommandLine {
  readonly file: string
  readonly args: readonly string[]
  readonly script: string | undefined
}

/** Every image with a shell has it here. */
const PLAIN_SHELL = '/bin/sh'
/** Preferred for commands as people write them. */
const FULL_SHELLS = ['/bin/bash', '/usr/bin/bash']

/** Linux's MAX_ARG_STRLEN, which counts the terminating NUL. */
const MAX_ARGUMENT_BYTES = 128 * 1024 - 1

/**
 * `sh -c "…"` as the SDKs send it. The text may hold nothing that an outer shell would read as the end of the quoted
 * argument, or as an escape in it.
 */
const QUOTED_SHELL_COMMAND = /^\s*sh -c "((?:[^"\\]|\\[^"$`\\\n])*)"\s*$/

/** Reads the command from descriptor 3 and closes that before the command runs. */
const FROM_DESCRIPTOR_3 = 'eval "exec 3<&-\n$(cat <&3)"'

/**
 * Decides what runs a command. The SDKs wrap theirs in `sh -c "…"` with substitutions that are meant for the inner
 * shell; an outer one would expand them first and break values with spaces, so that text goes to `sh` as it is.
 * Everything else is the shell's: bash where there is one, else sh.
 */
export function commandLine(command: string): CommandLine {
  const [, quoted] = QUOTED_SHELL_COMMAND.exec(command) ?? []
  const file = quoted === undefined ? (FULL_SHELLS.find((shell) => existsSync(shell)) ?? PLAIN_SHELL) : PLAIN_SHELL
  const text = quoted ?? command
  return Buffer.byteLength(text) <= MAX_ARGUMENT_BYTES
    ? { file, args: ['-c', text], script: undefined }
    : { file, args: ['-c', FROM_DESCRIPTOR_3], script: text }
}
