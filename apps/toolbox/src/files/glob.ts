import { AppError } from '@atoll/protocol'

/** One element of a pattern: any run of characters, or one character that passes a test. */
type Element = 'any-run' | ((character: string) => boolean)

/**
 * Compiles a pattern for base names: `*`, `?`, `[a-z]`, `[^a-z]` (also `[!a-z]`), and `\` before a literal character.
 * Matching takes time in proportion to pattern times name. Throws VALIDATION_FAILED for a class that does not end, an
 * empty one, or a pattern that ends in `\`.
 */
export function compileGlob(pattern: string): (name: string) => boolean {
  const elements = parse([...pattern])
  return (name) => matches(elements, [...name])
}

function parse(characters: readonly string[]): Element[] {
  const elements: Element[] = []
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index] ?? ''
    if (character === '*') {
      if (elements.at(-1) !== 'any-run') elements.push('any-run')
    } else if (character === '?') {
      elements.push(() => true)
    } else if (character === '[') {
      const { matcher, end } = parseClass(characters, index + 1)
      elements.push(matcher)
      index = end
    } else {
      if (character === '\\') index += 1
      elements.push(literal(characters[index]))
    }
  }
  return elements
}

function literal(character: string | undefined): Element {
  if (character === undefined) throw bad('ends in a backslash')
  return (given) => given === character
}

/** Parses a class; `start` is behind the opening bracket, `end` the place of the closing one. */
function parseClass(characters: readonly string[], start: number) {
  let index = start
  const negated = characters[index] === '^' || characters[index] === '!'
  if (negated) index += 1
  const ranges: [number, number][] = []
  const next = () => {
    if (characters[index] === '\\') index += 1
    const code = characters[index]?.codePointAt(0)
    if (code === undefined) throw bad('has a [ that does not end')
    index += 1
    return code
  }
  while (characters[index] !== ']' || ranges.length === 0) {
    if (characters[index] === ']') throw bad('has an empty class')
    const low = next()
    if (characters[index] === '-' && characters[index + 1] !== ']') {
      index += 1
      ranges.push([low, next()])
    } else {
      ranges.push([low, low])
    }
  }
  const matcher = (character: string) => {
    const code = character.codePointAt(0) ?? 0
    return ranges.some(([low, high]) => code >= low && code <= high) !== negated
  }
  return { matcher, end: index }
}

function bad(what: string): AppError {
  return new AppError('VALIDATION_FAILED', `query: pattern ${what}`)
}

/** Returns whether the name matches. On a mismatch only the latest run grows: growing an earlier one would find nothing more. */
function matches(elements: readonly Element[], name: readonly string[]): boolean {
  let element = 0
  let at = 0
  let retry: { element: number; at: number } | undefined
  while (at < name.length) {
    const current = elements[element]
    if (current === 'any-run') {
      retry = { element: element + 1, at }
      element += 1
    } else if (current?.(name[at] ?? '')) {
      element += 1
      at += 1
    } else if (retry !== undefined) {
      retry.at += 1
      element = retry.element
      at = retry.at
    } else {
      return false
    }
  }
  while (elements[element] === 'any-run') element += 1
  return element === elements.length
}
