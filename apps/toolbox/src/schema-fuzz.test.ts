import type { Operation } from '@atoll/protocol'
import { ErrorBody, errorStatus, toolboxOperations } from '@atoll/protocol'
import fc from 'fast-check'
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Shape } from './check-shape.ts'
import { form, MULTIPART_HEADERS } from './testing/multipart.ts'
import type { TestToolbox } from './testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from './testing/test-toolbox.ts'

/** The calls of each operation; each may start real processes. */
const RUNS = 12
const OPERATION_TIMEOUT_MS = 120_000

let toolbox: TestToolbox
beforeAll(async () => {
  toolbox = await createTestToolbox()
})
afterAll(() => toolbox[Symbol.asyncDispose]())

/**
 * The values of fields whose name says what they do: every call is really carried out, so it must do no harm outside the
 * test's own folder. All other strings are names in that folder, odd ones among them.
 */
const MEANINGS: Record<string, readonly string[]> = {
  command: ['true', 'exit 3', 'echo "$A"', "echo 'unclosed", '\0', ''],
  code: ['print(1)', 'syntax(', '1 + 1', ''],
  language: ['python', 'javascript', 'cobol', ''],
  languageId: ['typescript', 'python', 'cobol', ''],
  signal: ['0', 'NONSENSE', ''],
  pid: ['0', '-1', 'x', '999999999', '1.5'],
  port: ['3000', '9999', '0', 'x'],
  mode: ['644', '0755', '9', 'rwx', ''],
  url: ['/dev/null', 'file:///nowhere', '--upload-pack=true', 'ext::sh -c true', 'http://127.0.0.1:1/x', ''],
  scope: ['local', 'global', 'nonsense'],
  key: ['user.name', 'a', '-x', ''],
  host: ['example.com', ''],
  protocol: ['https', 'x'],
  uri: ['file://a.ts', 'untitled:x', 'file:///dev/null', '%'],
  envs: ['A', 'B=C', ''],
  env: ['A', 'B=C', ''],
  set: ['A', 'B=C', ''],
  unset: ['A', ''],
}
const NAMES = [
  'a',
  'a b',
  'ü',
  '-rf',
  '.b',
  'a\nb',
  '%',
  '{}',
  'x'.repeat(300),
  '/dev/null/x',
  'c/d',
  '\0',
  '__proto__',
]

function text(name: string): fc.Arbitrary<string> {
  return fc.constantFrom(...(MEANINGS[name] ?? NAMES))
}

/** Returns a value that fits a schema, and now and then another one. */
function valueFor(shape: Shape, name: string): fc.Arbitrary<unknown> {
  const wrong = fc.constantFrom<unknown>(null, 7, 'x y', true, [], {}, [null])
  return fc.oneof({ weight: 7, arbitrary: fitting(shape, name) }, { weight: 1, arbitrary: wrong })
}

function fitting(shape: Shape, name: string): fc.Arbitrary<unknown> {
  switch (shape.type) {
    case 'object':
      return objectOf(shape, name)
    case 'array':
      return fc.array(valueFor(shape.items ?? {}, name), { maxLength: 3 })
    case 'boolean':
      return fc.boolean()
    case 'integer':
    case 'number':
      return fc.constantFrom(0, 1, 2, -1, 1.5, 1e9, Number.MAX_SAFE_INTEGER)
    default:
      return shape.enum === undefined ? text(name) : fc.constantFrom(...shape.enum, 'nonsense')
  }
}

function objectOf(shape: Shape, name: string): fc.Arbitrary<unknown> {
  const [any] = Object.values(shape.patternProperties ?? {})
  if (any !== undefined) return fc.dictionary(text(name), valueFor(any, 'value'), { maxKeys: 3 })
  const fields = Object.entries(shape.properties ?? {}).map(([key, field]) => [key, valueFor(field, key)] as const)
  return fc.record(Object.fromEntries(fields), { requiredKeys: [...(shape.required ?? [])] })
}

/** Returns fields as a query has them, where everything is text. */
function queryOf(schema: TSchema): fc.Arbitrary<Record<string, string>> {
  return objectOf(schema as Shape, '').map((fields) =>
    Object.fromEntries(Object.entries(fields ?? {}).map(([key, value]) => [key, String(value)])),
  )
}

function pathOf({ path }: Operation): fc.Arbitrary<string> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return fc
    .tuple(...names.map(text))
    .map((values) => names.reduce((target, name, at) => target.replace(`{${name}}`, escapeSegment(values[at])), path))
}

function escapeSegment(value: string | undefined): string {
  return encodeURIComponent(value ?? '') || '-'
}

function bodyOfCall(operation: Operation): fc.Arbitrary<object> {
  switch (operation.bodyKind) {
    case 'none':
      return fc.constant({})
    case 'json':
      return objectOf(operation.body as Shape, '').map((json) => ({ json }))
    default:
      return fc.constantFrom(
        { body: form('content'), headers: MULTIPART_HEADERS },
        { body: form('content', { field: 'other' }), headers: MULTIPART_HEADERS },
        { body: form('cut').subarray(0, 60), headers: MULTIPART_HEADERS },
        { body: 'no form' },
      )
  }
}

describe('what the schemas of the contract ask for, right and wrong', () => {
  it.each(Object.entries<Operation>(toolboxOperations))('%s', async (_name, operation) => {
    const call = fc.tuple(pathOf(operation), queryOf(operation.query), bodyOfCall(operation))
    await fc.assert(
      fc.asyncProperty(call, async ([path, query, body]) => {
        const response = await toolbox.call(operation.method, path, { query, ...body, timeoutMs: OPERATION_TIMEOUT_MS })
        if (response.status < 300) return
        expect(Object.values(errorStatus)).toContain(response.status)
        if (!(operation.method === 'POST' && path === '/files/bulk-upload')) {
          expect(Value.Errors(ErrorBody, bodyOf(response))).toEqual([])
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    )
    expect(toolbox.errors).toEqual([])
  })

  it('and the toolbox goes on', async () => {
    const response = await toolbox.call('POST', '/process/execute', { json: { command: 'echo on' } })
    expect(bodyOf(response)).toMatchObject({ result: 'on\n' })
  })
})
