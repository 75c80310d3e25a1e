import { AppError } from '@atoll/protocol'
import { isUuid } from '../database/uuid.ts'
import { checkText } from './text-map.ts'

/** What a path takes for something else than a sandbox. */
const RESERVED = new Set(['.', '..', 'paginated'])

/** A slash that servers in front may decode, and what shows badly in logs and terminals. */
const UNFIT = /[/\\\p{Cc}]/u

/** The name to store; null for none. Throws VALIDATION_FAILED for one that no path could tell from something else. */
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
