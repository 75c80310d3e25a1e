import { AppError } from '@atoll/protocol'
import { isUuid } from '../database/uuid.ts'
import { checkText } from '../http/text-map.ts'

/** The names that a path of a URL takes for something other than a sandbox. */
const RESERVED = new Set(['.', '..', 'paginated'])

/** Slashes, which servers in front may decode, and characters that show badly in logs and terminals. */
const UNFIT = /[/\\\p{Cc}]/u

/** Returns the name to store; null for none. Throws VALIDATION_FAILED for a name that would be ambiguous in a path. */
export function checkSandboxName(name: string | undefined): string | null {
  if (name === undefined || name === '') return null
  checkText('name', name)
  if (UNFIT.test(name)) throw invalid('name must hold no slash, backslash or control character')
  if (RESERVED.has(name)) throw invalid(`name must not be ${JSON.stringify(name)}`)
  if (isUuid(name)) throw invalid('name must not have the form of an id')
  return name
}

function invalid(message: string): AppError {
  return new AppError('VALIDATION_FAILED', message)
}
