/** The longest needle for Node's own search, which is fastest for it; a longer one it would compare whole at each place. */
const MAX_NATIVE_LENGTH = 256

/** Finds one literal sequence of bytes, in time linear in the text. */
export interface Finder {
  /** Bytes of the needle. */
  readonly length: number
  /** Returns the first occurrence at or after `from`, or -1. */
  indexIn(text: Buffer, from: number): number
}

/** Makes a finder; `needle` must not be empty. */
export function createFinder(needle: Buffer): Finder {
  if (needle.length <= MAX_NATIVE_LENGTH) {
    return { length: needle.length, indexIn: (text, from) => text.indexOf(needle, from) }
  }
  const borders = bordersOf(needle)
  return { length: needle.length, indexIn: (text, from) => search({ needle, borders, text, from }) }
}

/** Returns, for each prefix of the needle, the length of its longest proper prefix that is also its suffix. */
function bordersOf(needle: Buffer): Int32Array {
  const borders = new Int32Array(needle.length)
  let border = 0
  for (let index = 1; index < needle.length; index += 1) {
    while (border > 0 && needle[index] !== needle[border]) border = borders[border - 1] ?? 0
    if (needle[index] === needle[border]) border += 1
    borders[index] = border
  }
  return borders
}

/** Searches as Knuth, Morris and Pratt do, never going back in the text. */
function search(options: { needle: Buffer; borders: Int32Array; text: Buffer; from: number }): number {
  const { needle, borders, text, from } = options
  let matched = 0
  for (let index = from; index < text.length; index += 1) {
    while (matched > 0 && text[index] !== needle[matched]) matched = borders[matched - 1] ?? 0
    if (text[index] === needle[matched]) matched += 1
    if (matched === needle.length) return index - matched + 1
  }
  return -1
}
