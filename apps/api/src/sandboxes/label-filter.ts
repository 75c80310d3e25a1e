import { AppError } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

const Labels = Type.Record(Type.String(), Type.String())

/** Parses the labels that a list is narrowed to; an absent or empty text means none. Throws VALIDATION_FAILED. */
export function parseLabels(text: string | undefined): Record<string, string> {
  if (text === undefined || text === '') return {}
  const labels = parseJson(text)
  if (Value.Check(Labels, labels)) return labels
  throw new AppError('VALIDATION_FAILED', 'querystring.labels must be a JSON object of strings')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // A text that is not JSON is refused like JSON of another shape.
    return undefined
  }
}
