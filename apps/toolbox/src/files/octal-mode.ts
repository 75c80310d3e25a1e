import { AppError } from '@atoll/protocol'

const OCTAL_MODE = /^(0o?)?[0-7]{1,4}$/

/** Returns the mode in octal text such as `755` or `0o644`; undefined when absent or empty. Throws VALIDATION_FAILED. */
export function parseMode(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (!OCTAL_MODE.test(text)) {
    throw new AppError('VALIDATION_FAILED', 'query: mode must be an octal number such as 755')
  }
  return Number.parseInt(text.replace('o', ''), 8)
}
