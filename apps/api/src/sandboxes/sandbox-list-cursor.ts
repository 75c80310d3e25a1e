import { AppError } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { isUuid } from '../database/uuid.ts'
import { isStorable } from '../http/text-map.ts'
import type { Order, Position } from './sandbox-list-store.ts'

const Parts = Type.Tuple([Type.String(), Type.String(), Type.String(), Type.String()])

/** The keys of numbers and times, with few enough digits for PostgreSQL. */
const INTEGER = /^\d{1,9}$/
const MICROSECONDS = /^\d{1,16}$/

/** Returns a cursor that says where a page ended. Opaque to clients. */
export function writeCursor({ sort, order }: Order, { key, id }: Position): string {
  return Buffer.from(JSON.stringify([sort, order, key, id])).toString('base64url')
}

/** Reads a cursor. Throws BAD_REQUEST for a text that `writeCursor` did not write for this order. */
export function readCursor(text: string, wanted: Order): Position {
  const [sort, order, key, id] = parse(text) ?? ['', '', '', '']
  if (!isUuid(id) || !isKey(wanted, key)) throw new AppError('BAD_REQUEST', 'The cursor is not valid')
  if (sort !== wanted.sort || order !== wanted.order) {
    throw new AppError('BAD_REQUEST', 'The cursor belongs to another order')
  }
  return { key, id }
}

function parse(text: string): [string, string, string, string] | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    return Value.Check(Parts, parts) ? parts : undefined
  } catch {
    // A text that is not JSON is no cursor.
    return undefined
  }
}

function isKey({ sort }: Order, key: string): boolean {
  switch (sort) {
    case 'name':
      return isStorable(key)
    case 'cpu':
    case 'memoryGib':
    case 'diskGib':
      return INTEGER.test(key)
    case 'lastActivityAt':
    case 'createdAt':
      return MICROSECONDS.test(key)
  }
}
