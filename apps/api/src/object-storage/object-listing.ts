import { AppError } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Queryable } from '../database/database.ts'
import { firstBehind, isNameable } from './object-key.ts'
import type { ListOptions, ObjectFacts, ObjectPage } from './object-store.ts'
import type { KeyBound } from './stored-object-store.ts'
import { storedObjectStore } from './stored-object-store.ts'

/** Rows read at once when a delimiter is given, since most of them may end up in common prefixes. */
const ROWS_WITH_DELIMITER = 100

const CursorContent = Type.Union([Type.Object({ from: Type.String() }), Type.Object({ behind: Type.String() })])

export interface LocalListOptions extends ListOptions {
  /** Lists only keys behind this one; a cursor takes precedence. */
  startAfter?: string
  /** A second prefix that all keys have; common prefixes do not depend on it. */
  within?: string
}

/**
 * Reads one page of objects; skips the rows within a common prefix without reading them. Throws BAD_REQUEST for a
 * foreign cursor.
 */
export async function listObjects(db: Queryable, options: LocalListOptions): Promise<ObjectPage> {
  const { delimiter = '', limit, within = '' } = options
  const prefix = options.prefix.startsWith(within) ? options.prefix : within
  const page = new GrowingPage(options)
  // No key can begin with both prefixes.
  if (!isNameable(prefix) || !prefix.startsWith(options.prefix)) return page.done()
  const batch = delimiter === '' ? limit + 1 : Math.min(limit + 1, ROWS_WITH_DELIMITER)
  for (;;) {
    const rows = await storedObjectStore.list(db, { prefix, bound: page.bound }, batch)
    for (const row of rows) if (!page.take(row)) return page.full()
    if (rows.length < batch) return page.done()
  }
}

class GrowingPage {
  /** The start of the next page, behind the rows taken so far. */
  bound: KeyBound | undefined
  private readonly options: LocalListOptions
  private readonly objects: ObjectFacts[] = []
  private readonly commonPrefixes: string[] = []

  constructor(options: LocalListOptions) {
    this.options = options
    this.bound = firstBound(options)
  }

  /** Adds a row; returns false when the page is full. */
  take(row: ObjectFacts): boolean {
    const last = this.commonPrefixes.at(-1)
    if (last !== undefined && row.key.startsWith(last)) return true
    if (this.objects.length + this.commonPrefixes.length === this.options.limit) return false
    const common = commonPrefixOf(row.key, this.options)
    if (common === undefined) {
      this.objects.push(row)
      this.bound = { behind: row.key }
    } else {
      this.commonPrefixes.push(common)
      this.bound = boundBehind(common)
    }
    return true
  }

  full(): ObjectPage {
    return { ...this.done(), nextCursor: this.bound && toCursor(this.bound) }
  }

  done(): ObjectPage {
    return { objects: this.objects, commonPrefixes: this.commonPrefixes, nextCursor: undefined }
  }
}

/** Returns the key up to the first delimiter behind the prefix. */
function commonPrefixOf(key: string, { prefix, delimiter = '' }: LocalListOptions): string | undefined {
  if (delimiter === '') return undefined
  const at = key.indexOf(delimiter, prefix.length)
  return at === -1 ? undefined : key.slice(0, at + delimiter.length)
}

/** Returns the bound behind a common prefix. Behind the last of all texts it is one that finds no row. */
function boundBehind(common: string): KeyBound {
  const from = firstBehind(common)
  return from === undefined ? { behind: '\u{10ffff}'.repeat(256) } : { from }
}

function firstBound({ cursor, startAfter = '' }: LocalListOptions): KeyBound | undefined {
  if (cursor !== undefined) return fromCursor(cursor)
  return startAfter === '' || !isNameable(startAfter) ? undefined : { behind: startAfter }
}

function toCursor(bound: KeyBound): string {
  return Buffer.from(JSON.stringify(bound)).toString('base64url')
}

function fromCursor(cursor: string): KeyBound {
  try {
    const content: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    if (Value.Check(CursorContent, content) && isNameable('from' in content ? content.from : content.behind))
      return content
  } catch {
    // A text that is no JSON is refused below, like JSON that is no cursor.
  }
  throw new AppError('BAD_REQUEST', 'The continuation token was not made here')
}
