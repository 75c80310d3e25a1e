// The violations that each gate must report. `path` is the file's place in a scratch copy of the tree, `source` its
// content, `expects` the rule (biome), error code (tsc) or text (the others) that must be reported.

export const biomeViolations = [
  {
    expects: 'lint/suspicious/noExplicitAny',
    path: 'packages/service/src/planted.ts',
    source: 'export const x: any = 1\n',
  },
  {
    expects: 'lint/style/noNonNullAssertion',
    path: 'packages/service/src/planted.ts',
    source: 'export const first = (list: string[]) => list[0]!\n',
  },
  {
    expects: 'lint/nursery/noFloatingPromises',
    path: 'packages/service/src/planted.ts',
    source: 'async function work(): Promise<void> {}\nexport function f() {\n  work()\n}\n',
  },
  {
    expects: 'lint/nursery/noMisusedPromises',
    path: 'packages/service/src/planted.ts',
    source: "const done: Promise<boolean> = Promise.resolve(true)\nexport const word = done ? 'yes' : 'no'\n",
  },
  {
    expects: 'lint/nursery/useExhaustiveSwitchCases',
    path: 'packages/service/src/planted.ts',
    source:
      "type Kind = 'a' | 'b'\nexport function f(kind: Kind): number {\n  switch (kind) {\n    case 'a':\n      return 1\n  }\n  return 0\n}\n",
  },
  {
    expects: 'lint/style/useThrowOnlyError',
    path: 'packages/service/src/planted.ts',
    source: "export function f() {\n  throw 'no'\n}\n",
  },
  { expects: 'lint/style/noDefaultExport', path: 'packages/service/src/planted.ts', source: 'export default 1\n' },
  {
    expects: 'lint/style/noEnum',
    path: 'packages/service/src/planted.ts',
    source: 'export enum Kind {\n  A = 1,\n}\n',
  },
  {
    expects: 'lint/style/noParameterProperties',
    path: 'packages/service/src/planted.ts',
    source: 'export class A {\n  constructor(readonly a: string) {}\n}\n',
  },
  {
    expects: 'lint/performance/noBarrelFile',
    path: 'packages/service/src/planted.ts',
    source: "export { createLogger } from './logger.ts'\n",
  },
  {
    expects: 'lint/performance/noReExportAll',
    path: 'packages/service/src/planted.ts',
    source: "export * from './logger.ts'\n",
  },
  {
    expects: 'lint/style/noProcessEnv',
    path: 'packages/service/src/planted.ts',
    source: "export const port = process.env['PORT']\n",
  },
  {
    expects: 'lint/style/useFilenamingConvention',
    path: 'packages/service/src/plantedFile.ts',
    source: 'export const a = 1\n',
  },
  {
    expects: 'lint/style/noExcessiveLinesPerFile',
    path: 'packages/service/src/planted.ts',
    source: Array.from({ length: 401 }, (_, i) => `export const line${i} = ${i}\n`).join(''),
  },
  {
    expects: 'lint/complexity/noExcessiveLinesPerFunction',
    path: 'packages/service/src/planted.ts',
    source: `export function f(list: number[]) {\n${'  list.push(1)\n'.repeat(61)}}\n`,
  },
  {
    expects: 'lint/complexity/noExcessiveCognitiveComplexity',
    path: 'packages/service/src/planted.ts',
    source: `export function f(a: number) {\n${nested(6)}}\n`,
  },
  {
    expects: 'lint/complexity/useMaxParams',
    path: 'packages/service/src/planted.ts',
    source: 'export const f = (a: number, b: number, c: number, d: number) => a + b + c + d\n',
  },
  {
    expects: 'lint/suspicious/noSkippedTests',
    path: 'packages/service/src/planted.test.ts',
    source: "import { it } from 'vitest'\nit.skip('x', () => {})\n",
  },
  {
    expects: 'lint/suspicious/noFocusedTests',
    path: 'packages/service/src/planted.test.ts',
    source: "import { it } from 'vitest'\nit.only('x', () => {})\n",
  },
  {
    expects: 'lint/suspicious/noImportCycles',
    path: 'packages/service/src/planted.ts',
    source: "import { b } from './planted-other.ts'\nexport const a = () => b\n",
    also: { 'packages/service/src/planted-other.ts': "import { a } from './planted.ts'\nexport const b = () => a\n" },
  },
  {
    expects: 'lint/style/noRestrictedImports',
    path: 'apps/api/src/planted/planted-routes.ts',
    source: "import { eq } from 'drizzle-orm'\nexport const a = eq\n",
  },
  {
    expects: 'lint/style/noRestrictedImports',
    path: 'apps/api/src/planted/planted-routes.ts',
    source: "import { store } from './planted-store.ts'\nexport const a = store\n",
  },
  {
    expects: 'lint/style/noRestrictedImports',
    path: 'apps/api/src/planted/planted-service.ts',
    source: "import { fastify } from 'fastify'\nexport const a = fastify\n",
  },
  { expects: 'format', path: 'packages/service/src/planted.ts', source: 'export const a = "b";\n' },
]

export const typeViolations = [
  { expects: 'TS2322', source: 'export const a: string = 1\n' },
  { expects: 'TS2532', source: 'export const a = (list: string[]) => list[0].length\n' },
  { expects: 'TS4111', source: 'export const a = (map: Record<string, string>) => map.name\n' },
  {
    expects: 'TS2375',
    source: 'interface A {\n  a?: string\n}\nexport const a = (x: string | undefined): A => ({ a: x })\n'.replace(
      '=> ({ a: x })',
      '=> {\n  const made: A = { a: x }\n  return made\n}',
    ),
  },
  { expects: 'TS6133', source: 'export function f(unused: string) {}\n' },
  { expects: 'TS1294', source: 'export namespace A {\n  export const a = 1\n}\n' },
]

export const boundaryViolations = [
  { what: 'a package that imports an app', from: 'packages/tunnel', to: '@atoll/api' },
  { what: 'an app that imports another app', from: 'apps/toolbox', to: '@atoll/runner' },
  { what: 'the protocol importing the tunnel', from: 'packages/protocol', to: '@atoll/tunnel' },
  { what: 'a black-box test importing an app', from: 'e2e', to: '@atoll/api' },
  { what: 'an import that package.json does not declare', from: 'apps/api', to: '@atoll/dev-env', undeclared: true },
]

export const sourceViolations = [
  { expects: 'mocked module', path: 'apps/api/src/planted.test.ts', source: "vi.mock('node:fs')\n" },
  { expects: 'catch-all folder', path: 'apps/api/src/utils/planted.ts', source: 'export const a = 1\n' },
  {
    expects: 'sleep in a test',
    path: 'apps/api/src/planted.test.ts',
    source: 'await new Promise((r) => setTimeout(r, 500))\n',
  },
  {
    expects: 'apps/api/src/planted.ts:1: the contract has no section 7.9',
    path: 'apps/api/src/planted.ts',
    source: '/** What \u00a77 and \u00a77.9 say. */\nexport const a = 1\n',
    also: { 'docs/spec/daytona-contract.md': '## 7. Sandboxes\n### 7.1 Creating\n' },
  },
  {
    expects: 'docs/spec/planted.md:1: no test cites the invariant A4',
    path: 'docs/spec/planted.md',
    source: '- **A4** Archives of earlier versions can be restored.\n',
    also: { 'apps/api/src/planted.test.ts': "it('takes %A4, of R4 and A41', () => {})\n" },
  },
]

function nested(depth) {
  const open = Array.from({ length: depth }, (_, i) => `${'  '.repeat(i + 1)}if (a > ${i}) {\n`).join('')
  const close = Array.from({ length: depth }, (_, i) => `${'  '.repeat(depth - i)}}\n`).join('')
  return `${open}${'  '.repeat(depth + 1)}return 1\n${close}  return 0\n`
}
