import { toolboxOperations } from '@atoll/protocol'
import { describe, expect, it } from 'vitest'

/** The keywords that check-shape.ts reads, and those that do not affect validity. */
const KNOWN_KEYWORDS = new Set([
  'type',
  'properties',
  'required',
  'patternProperties',
  'items',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'enum',
  'description',
  '$id',
])
const KNOWN_TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean'])

describe('the shape checker', () => {
  it.each(Object.entries(toolboxOperations))('knows every keyword of %s', (_name, { query, body }) => {
    for (const schema of [query, body]) checkKeywords(JSON.parse(JSON.stringify(schema)))
  })
})

function checkKeywords(schema: Record<string, unknown>): void {
  for (const keyword of Object.keys(schema)) expect(KNOWN_KEYWORDS).toContain(keyword)
  expect(KNOWN_TYPES).toContain(schema['type'])
  for (const group of [schema['properties'], schema['patternProperties']]) {
    for (const child of Object.values(group ?? {})) checkKeywords(child)
  }
  const { items } = schema as { items?: Record<string, unknown> }
  if (items !== undefined) checkKeywords(items)
}
