import { AppError } from '@atoll/protocol'

/**
 * Names from callers become arguments of git. A name that git could read as an option, or that an argument cannot carry,
 * is refused here with VALIDATION_FAILED.
 */

/** The longest name or URL, in characters: Linux allows an argument 128 KiB. */
const MAX_LENGTH = 8 * 1024

/** Matches names that git's own rules forbid for a reference. */
const NO_REFERENCE = new RegExp(
  [
    '^-|^@$|^/|/$|//|\\.\\.|@\\{|\\.$',
    // A control character, or one that has a meaning in a revision or pattern.
    '[\\x00-\\x20\\x7f~^:?*\\[\\\\]',
    '(^|/)\\.|\\.lock(/|$)',
  ].join('|'),
)

/** Checks the name of a branch or a remote. */
export function checkReference(name: string, field: string): void {
  if (name.length > MAX_LENGTH || NO_REFERENCE.test(name)) {
    throw new AppError('VALIDATION_FAILED', `body: ${field} is no name git accepts: ${shown(name)}`)
  }
}

/** Checks a branch, tag or commit, or a revision relative to one, such as `HEAD~2`. */
export function checkRevision(revision: string, field: string): void {
  if (revision.startsWith('-')) throw new AppError('VALIDATION_FAILED', `body: ${field} must not begin with a dash`)
  checkArgument(revision, field)
  if (/[\n\r]/.test(revision)) throw new AppError('VALIDATION_FAILED', `body: ${field} must be one line`)
}

/** Checks a URL or a path to clone from. */
export function checkUrl(url: string): void {
  checkRevision(url, 'url')
}

/** Checks an argument that stands behind `--`, or as the value of an option. */
export function checkArgument(value: string, field: string): void {
  if (value.includes('\0')) throw new AppError('VALIDATION_FAILED', `${field} must not contain a NUL character`)
  if (Buffer.byteLength(value) > MAX_LENGTH) {
    throw new AppError('VALIDATION_FAILED', `${field} must not be longer than ${MAX_LENGTH} bytes`)
  }
}

/** Returns the value if it is one of the allowed ones; the first of them when it is absent. */
export function choose<Choice extends string>(
  value: string | undefined,
  choices: readonly [Choice, ...Choice[]],
  field: string,
): Choice {
  if (value === undefined || value === '') return choices[0]
  const found = choices.find((choice) => choice === value)
  if (found === undefined) throw new AppError('VALIDATION_FAILED', `${field} must be one of ${choices.join(', ')}`)
  return found
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64))
}
