import type { NamedPart } from '../object-store.ts'
import { MAX_PARTS } from '../object-store.ts'
import { S3Error } from './s3-error.ts'

const BEGIN = /\s*(?:<\?xml [^<>]*\?>\s*)?<CompleteMultipartUpload(?:\s[^<>]*)?>/y
const PART = /\s*<Part(?:\s[^<>]*)?>/y
const FIELD = /\s*<(\w{1,64})(?:\s[^<>]*)?(?:\/>|>([^<]*)<\/\1\s*>)/y
const PART_END = /\s*<\/Part\s*>/y
const END = /\s*<\/CompleteMultipartUpload\s*>\s*$/y

/** The most elements of one part: its number, its etag, and a checksum of every kind. */
const MAX_FIELDS = 16
const PART_NUMBER = /^[0-9]{1,5}$/
/** Quotes around an etag, as clients write them. */
const QUOTES = /"|&quot;|&#34;|&#x22;/g

/**
 * Reads the parts of a `CompleteMultipartUpload`, which has one form, in one pass over the text. A general XML parser
 * blocks the process for seconds on 2 MiB of other text, and for half a second on 2 MiB of this form. Throws
 * MalformedXML.
 */
export function readParts(text: string): NamedPart[] {
  const cursor = new Cursor(text)
  cursor.take(BEGIN)
  const parts: NamedPart[] = []
  while (cursor.find(PART) !== undefined) {
    if (parts.length === MAX_PARTS) throw malformed()
    parts.push(readPart(cursor))
  }
  cursor.take(END)
  if (parts.length === 0) throw malformed()
  return parts
}

function readPart(cursor: Cursor): NamedPart {
  const fields = new Map<string, string>()
  for (let field = cursor.find(FIELD); field !== undefined; field = cursor.find(FIELD)) {
    const [, name = '', content = ''] = field
    if (fields.has(name) || fields.size === MAX_FIELDS) throw malformed()
    fields.set(name, content.trim())
  }
  cursor.take(PART_END)
  const [number, etag] = [fields.get('PartNumber'), fields.get('ETag')]
  if (number === undefined || etag === undefined || !PART_NUMBER.test(number)) throw malformed()
  return { number: Number(number), etag: etag.replaceAll(QUOTES, '') }
}

/** Reads a text by sticky expressions. */
class Cursor {
  private at = 0
  private readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** Skips the next match and returns it, if the text goes on with it. */
  find(what: RegExp): RegExpExecArray | undefined {
    what.lastIndex = this.at
    const found = what.exec(this.text)
    if (found === null) return undefined
    this.at = what.lastIndex
    return found
  }

  /** Skips the next match. Throws MalformedXML when the text goes on otherwise. */
  take(what: RegExp): void {
    if (this.find(what) === undefined) throw malformed()
  }
}

function malformed(): S3Error {
  return new S3Error('MalformedXML', 'The body is not the XML that this takes')
}
