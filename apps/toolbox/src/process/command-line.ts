import { existsSync } from 'node:fs'

/** A program, its arguments, and the script it should read where the text is too long to be an argument. */
export interface CommandLine {
  readonly file: string
  readonly args: readonly string[]
  readonly script: string | undefined
}

/** The path of the shell in every image that has one. */
const PLAIN_SHELL = '/bin/sh'
/** Shells preferred for commands as people write them. */
const FULL_SHELLS = ['/bin/bash', '/usr/bin/bash']

/** Linux's MAX_ARG_STRLEN, which counts the terminating NUL. */
const MAX_ARGUMENT_BYTES = 128 * 1024 - 1

/**
 * Matches `sh -c "…"` as the SDKs send it. The text must not contain anything that an outer shell would read as the end
 * of the quoted argument, or as an escape in it.
 */
const QUOTED_SHELL_COMMAND = /^\s*sh -c "((?:[^"\\]|\\[^"$`\\\n])*)"\s*$/

/** A script that reads the command from descriptor 3 and closes it before the command runs. */
const FROM_DESCRIPTOR_3 = 'eval "exec 3<&-\n$(cat <&3)"'

/**
 * Returns the shell and its arguments for a command. The SDKs wrap theirs in `sh -c "…"` with substitutions that are
 * meant for the inner shell; an outer one would expand them first and break values with spaces, so that text goes to
 * `sh` as it is. Any other command goes to bash where there is one, else to sh.
 */
export function commandLine(command: string): CommandLine {
  const [, quoted] = QUOTED_SHELL_COMMAND.exec(command) ?? []
  const file = quoted === undefined ? (FULL_SHELLS.find((shell) => existsSync(shell)) ?? PLAIN_SHELL) : PLAIN_SHELL
  const text = quoted ?? command
  return Buffer.byteLength(text) <= MAX_ARGUMENT_BYTES
    ? { file, args: ['-c', text], script: undefined }
    : { file, args: ['-c', FROM_DESCRIPTOR_3], script: text }
}
