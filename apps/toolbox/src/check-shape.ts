import { AppError } from '@atoll/protocol'

/** The JSON Schema keywords that the contract's toolbox operations use for their input. */
export interface Shape {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly patternProperties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly enum?: readonly string[]
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
}

/** The most problems named in one message. */
const MAX_PROBLEMS = 8

/**
 * Checks a JSON value against a shape and returns it without the fields the shape does not know. `null` counts as
 * absent where a field is optional. Throws VALIDATION_FAILED naming the fields.
 * NOTE: typebox's own checker costs 4 MB in every sandbox; this one knows only what the contract uses.
 */
export function checkShape(shape: Shape, value: unknown, what: string): unknown {
  const problems: string[] = []
  const checked = conform({ shape, value, name: '' }, problems)
  fail(problems, what)
  return checked
}

/** Checks query fields in the same way. They arrive as text, so numbers and booleans are converted first. */
export function checkQuery(shape: Shape, fields: Map<string, Buffer>, repeated: Set<string>): unknown {
  const problems: string[] = []
  const value: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(shape.properties ?? {})) {
    const bytes = fields.get(name)
    if (bytes === undefined) continue
    if (repeated.has(name)) problems.push(`${name} must be given once`)
    value[name] = convert(field, bytes.toString())
  }
  const checked = conform({ shape, value, name: '' }, problems)
  fail(problems, 'query')
  return checked
}

interface Place {
  shape: Shape
  value: unknown
  name: string
}

function fail(problems: string[], what: string): void {
  if (problems.length === 0) return
  const more = problems.length > MAX_PROBLEMS ? `, and ${problems.length - MAX_PROBLEMS} more` : ''
  throw new AppError('VALIDATION_FAILED', `${what}: ${problems.slice(0, MAX_PROBLEMS).join(', ')}${more}`)
}

function conform(place: Place, problems: string[]): unknown {
  switch (place.shape.type) {
    case 'object':
      return conformObject(place, problems)
    case 'array':
      return conformArray(place, problems)
    case 'string':
      return conformString(place, problems)
    case 'integer':
    case 'number':
      return conformNumber(place, problems)
    case 'boolean':
      if (typeof place.value !== 'boolean') problems.push(`${label(place.name)} must be true or false`)
      return place.value
    default:
      return place.value
  }
}

function conformObject({ shape, value, name }: Place, problems: string[]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.push(`${label(name)} must be an object`)
    return value
  }
  const prefix = name === '' ? '' : `${name}.`
  const given = new Map(Object.entries(value))
  const checked: [string, unknown][] = []
  for (const [key, field] of Object.entries(shape.properties ?? {})) {
    const fieldValue = given.get(key)
    if (fieldValue !== undefined && (fieldValue !== null || shape.required?.includes(key))) {
      checked.push([key, conform({ shape: field, value: fieldValue, name: prefix + key }, problems)])
    } else if (shape.required?.includes(key)) {
      problems.push(`${prefix}${key} is required`)
    }
  }
  const [any] = Object.values(shape.patternProperties ?? {})
  if (any !== undefined) {
    for (const [key, fieldValue] of given) {
      checked.push([key, conform({ shape: any, value: fieldValue, name: prefix + printable(key) }, problems)])
    }
  }
  return Object.fromEntries(checked)
}

function conformArray({ shape, value, name }: Place, problems: string[]): unknown {
  if (!Array.isArray(value)) {
    problems.push(`${label(name)} must be an array`)
    return value
  }
  const { items } = shape
  return items === undefined
    ? value
    : value.map((item, index) => conform({ shape: items, value: item, name: `${name}[${index}]` }, problems))
}

function conformString({ shape, value, name }: Place, problems: string[]): unknown {
  if (typeof value !== 'string') problems.push(`${label(name)} must be a string`)
  else if (shape.enum?.includes(value) === false) {
    problems.push(`${label(name)} must be one of ${shape.enum.join(', ')}`)
  } else if (value.length < (shape.minLength ?? 0)) problems.push(`${label(name)} must not be empty`)
  else if (value.length > (shape.maxLength ?? Number.POSITIVE_INFINITY)) {
    problems.push(`${label(name)} must have at most ${shape.maxLength} characters`)
  }
  return value
}

function conformNumber({ shape, value, name }: Place, problems: string[]): unknown {
  const integer = shape.type === 'integer'
  if (typeof value !== 'number' || (integer && !Number.isSafeInteger(value))) {
    problems.push(`${label(name)} must be ${integer ? 'an integer' : 'a number'}`)
  } else if (value < (shape.minimum ?? Number.NEGATIVE_INFINITY)) {
    problems.push(`${label(name)} must be at least ${shape.minimum}`)
  } else if (value > (shape.maximum ?? Number.POSITIVE_INFINITY)) {
    problems.push(`${label(name)} must be at most ${shape.maximum}`)
  }
  return value
}

function convert(shape: Shape, text: string): unknown {
  if (shape.type === 'boolean') {
    if (text === 'true' || text === '1') return true
    return text === 'false' || text === '0' ? false : text
  }
  if (shape.type === 'integer' || shape.type === 'number') {
    return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  }
  return text
}

function label(name: string): string {
  return name === '' ? 'the value' : name
}

/** Returns a key for use in a message: bounded and on one line. */
function printable(key: string): string {
  return JSON.stringify(key.slice(0, 64))
}
