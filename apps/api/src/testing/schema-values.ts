import * as fc from 'fast-check'

/** The JSON Schema keywords that the API's bodies and queries use. */
export interface Shape {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly patternProperties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly anyOf?: readonly Shape[]
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
}

/** The path to a place in a value: names of fields, and 0 for an item. */
export type FieldPath = readonly (string | number)[]

/** A depth that no honest value has, and that overflows a careless recursion. */
const DEEP_LEVELS = 100_000
/** A placeholder for lists of that depth, which `JSON.stringify` could not write. */
const DEEP = '<deep>'
const HUGE_CHARACTERS = 100_000
/** The largest texts and lists that tests need. */
const MAX_TEXT = 24
const MAX_ITEMS = 3

const HARMFUL_TEXTS = [
  '\0',
  '\ud800',
  '\udc00a',
  'ü💥\u202e',
  "';--",
  '%',
  '../..',
  '-rf',
  '__proto__',
  '2999-12-31T23:59:60Z',
]
const HARMFUL_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '\0', '\ud800', '']

/** A parsed object, so that it has own fields of these names. */
const PROTOTYPES = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}') as object

const FORMATS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  email: fc.oneof(fc.emailAddress(), fc.constant('a@example.org')),
  'date-time': fc.constantFrom('2999-12-31T23:59:59Z', '2000-01-01T00:00:00.123+14:00', '0001-01-01T00:00:00Z'),
}

/** Returns values that `shape` accepts, mostly. */
export function fittingValue(shape: Shape): fc.Arbitrary<unknown> {
  return valueFor(shape, fittingValue)
}

/** Returns the same without fields of `shape` that may be absent. */
export function requiredValue(shape: Shape): fc.Arbitrary<unknown> {
  const required = Object.entries(shape.properties ?? {}).filter(([name]) => shape.required?.includes(name))
  return fittingValue({ ...shape, properties: Object.fromEntries(required) })
}

/** Returns values that are right in some places and wrong, harmful or far too large in others. */
export function oddValue(shape: Shape): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 3, arbitrary: valueFor(shape, oddValue) }, { weight: 1, arbitrary: harmful })
}

const harmful: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(...HARMFUL_TEXTS),
  fc.constantFrom(null, true, 0, -1, 1.5, 7, 2 ** 31, 2 ** 53, 1e300, -1e300, '', [], {}, [null]),
  fc.constant(PROTOTYPES),
  fc.constant('x'.repeat(HUGE_CHARACTERS)),
  fc.constant(DEEP),
  fc.jsonValue(),
  fc.string({ unit: 'binary' }),
)

/** Returns the value as JSON, in which each placeholder becomes lists too deep to hold in memory as objects. */
export function toJson(value: unknown): string | undefined {
  return JSON.stringify(value)?.replaceAll(`"${DEEP}"`, '['.repeat(DEEP_LEVELS) + ']'.repeat(DEEP_LEVELS))
}

function valueFor(shape: Shape, inner: (shape: Shape) => fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  if (shape.enum !== undefined) return fc.constantFrom(...shape.enum)
  if (shape.anyOf !== undefined) return fc.oneof(...shape.anyOf.map(inner))
  switch (shape.type) {
    case 'object':
      return objectOf(shape, inner)
    case 'array':
      return fc.array(inner(shape.items ?? {}), { minLength: shape.minItems ?? 0, maxLength: MAX_ITEMS })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'integer':
    case 'number':
      return numberOf(shape)
    default:
      return textOf(shape)
  }
}

function objectOf(shape: Shape, inner: (shape: Shape) => fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const [any] = Object.values(shape.patternProperties ?? {})
  const names = fc.oneof(fc.constantFrom(...HARMFUL_NAMES), fc.string())
  if (any !== undefined) return fc.dictionary(names, inner(any), { maxKeys: MAX_ITEMS })
  const fields = Object.entries(shape.properties ?? {}).map(([name, field]) => [name, inner(field)] as const)
  return fc.record(Object.fromEntries(fields), { requiredKeys: [...(shape.required ?? [])] })
}

function numberOf({ minimum = -(2 ** 31), maximum = 2 ** 31 }: Shape): fc.Arbitrary<number> {
  return fc.oneof(fc.constantFrom(minimum, maximum), fc.integer({ min: minimum, max: Math.min(maximum, minimum + 64) }))
}

function textOf({ pattern, format, minLength = 0, maxLength = HUGE_CHARACTERS }: Shape): fc.Arbitrary<string> {
  const known = format === undefined ? undefined : FORMATS[format]
  if (known !== undefined) return known
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { size: 'small' })
  const short = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, MAX_TEXT)) }
  return fc.oneof(
    fc.string(short),
    fc.string({ ...short, unit: 'binary' }),
    fc.uuid().filter((id) => id.length <= maxLength),
    fc.constant('x'.repeat(Math.min(maxLength, HUGE_CHARACTERS))),
    fc.constantFrom(...HARMFUL_TEXTS.filter(({ length }) => length >= minLength && length <= maxLength)),
  )
}

/** Returns the path and the shape of each field and item of `shape`, at any depth. */
export function fieldsIn(shape: Shape): [FieldPath, Shape][] {
  const fields = Object.entries(shape.properties ?? {})
  const [any] = Object.values(shape.patternProperties ?? {})
  const inner: [string | number, Shape][] = [
    ...fields,
    ...(any === undefined ? [] : ([['a', any]] as [string, Shape][])),
    ...(shape.items === undefined ? [] : ([[0, shape.items]] as [number, Shape][])),
  ]
  return inner.flatMap(([name, field]): [FieldPath, Shape][] => [
    [[name], field],
    ...fieldsIn(field).map(([path, below]): [FieldPath, Shape] => [[name, ...path], below]),
  ])
}

/** Returns `value` with `wrong` at a path, and with the objects and lists that must be above it. */
export function withAt(value: unknown, [name, ...rest]: FieldPath, wrong: unknown): unknown {
  if (name === undefined) return wrong
  if (typeof name === 'number') return [withAt(undefined, rest, wrong)]
  const fields = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
  return { ...fields, [name]: withAt(fields[name], rest, wrong) }
}

/** Returns one value of each JSON type that `shape` does not accept. */
export function wrongTypes(shape: Shape): unknown[] {
  const taken = typesOf(shape)
  const samples: [string, unknown][] = [
    ...([
      ['string', 'x y'],
      ['number', 7.5],
      ['boolean', true],
      ['null', null],
    ] as [string, unknown][]),
    ...([
      ['array', [[]]],
      ['object', { a: {} }],
    ] as [string, unknown][]),
  ]
  return samples.filter(([type]) => !taken.has(type)).map(([, sample]) => sample)
}

function typesOf(shape: Shape): Set<string> {
  if (shape.anyOf !== undefined) return new Set(shape.anyOf.flatMap((one) => [...typesOf(one)]))
  // 7.5 is no integer, and no text of the samples is in an enumeration.
  if (shape.enum !== undefined || shape.type === 'integer') return new Set()
  return new Set([shape.type ?? 'string'])
}
