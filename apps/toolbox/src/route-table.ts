import { AppError } from '@atoll/protocol'

/** Finds the entry of a path; a segment in braces of a declared path, such as `{sessionId}`, matches any one segment. */
export interface RouteTable<Entry> {
  find(path: string): FoundRoute<Entry> | undefined
}

export interface FoundRoute<Entry> {
  readonly entry: Entry
  /** The parameters by name, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
}

interface Place<Entry> {
  entry: Entry | undefined
  readonly literal: Map<string, Place<Entry>>
  parameter: { name: string; place: Place<Entry> } | undefined
}

/** Makes a table. A literal segment goes before a parameter. `merge` joins the entries of one path, in their order. */
export function createRouteTable<Entry>(
  entries: Iterable<readonly [path: string, entry: Entry]>,
  merge: (before: Entry, added: Entry) => Entry,
): RouteTable<Entry> {
  const root = emptyPlace<Entry>()
  for (const [path, entry] of entries) {
    const place = path.split('/').reduce(placeBelow, root)
    place.entry = place.entry === undefined ? entry : merge(place.entry, entry)
  }
  return {
    find(path) {
      const params: [string, string][] = []
      const entry = search(root, path.split('/'), params)
      return entry === undefined ? undefined : { entry, params: Object.fromEntries(params) }
    },
  }
}

function emptyPlace<Entry>(): Place<Entry> {
  return { entry: undefined, literal: new Map(), parameter: undefined }
}

function placeBelow<Entry>(above: Place<Entry>, segment: string): Place<Entry> {
  const name = /^\{(\w+)\}$/.exec(segment)?.[1]
  if (name !== undefined) {
    above.parameter ??= { name, place: emptyPlace() }
    if (above.parameter.name !== name) throw new Error(`two names for one parameter: ${above.parameter.name}, ${name}`)
    return above.parameter.place
  }
  const found = above.literal.get(segment) ?? emptyPlace()
  above.literal.set(segment, found)
  return found
}

/** Returns the entry, and fills `params` on the way. */
function search<Entry>(from: Place<Entry>, segments: readonly string[], params: [string, string][]): Entry | undefined {
  const [segment, ...rest] = segments
  if (segment === undefined) return from.entry
  const literal = from.literal.get(segment)
  const found = literal === undefined ? undefined : search(literal, rest, params)
  if (found !== undefined || from.parameter === undefined || segment === '') return found
  const below = search(from.parameter.place, rest, params)
  if (below !== undefined) params.unshift([from.parameter.name, decode(segment)])
  return below
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new AppError('BAD_REQUEST', 'the path has a broken percent-escape')
  }
}
