import { describe, expect, it } from 'vitest'
import type { AnySandbox } from './in-sandbox.ts'

/** The longest start of a compiler, beside other tests. */
export const COMPILER_MS = 120_000

/** A sandbox of any SDK generation, with `codeRun`. */
export interface CodeSandbox extends AnySandbox {
  readonly process: AnySandbox['process'] & {
    codeRun(
      code: string,
      params?: { argv?: string[]; env?: Record<string, string> },
      timeout?: number,
    ): Promise<{ exitCode: number; result: string }>
  }
  delete(): Promise<unknown>
}

const PROGRAMS = {
  python: {
    good: 'import os, sys\nprint("+".join(sys.argv[1:]), os.environ["GIVEN"], "ü")',
    bad: 'raise ValueError("on purpose")',
    says: /ValueError: on purpose/,
  },
  typescript: {
    good: `const words: string[] = process.argv.slice(2)\nconsole.log(words.join('+'), process.env.GIVEN, 'ü')`,
    bad: `const six: number = 'six'`,
    says: /Type 'string' is not assignable to type 'number'/,
  },
  javascript: {
    good: `const words = process.argv.slice(2)\nconsole.log(words.join('+'), process.env.GIVEN, 'ü')`,
    bad: `throw new RangeError('on purpose')`,
    says: /RangeError: on purpose/,
  },
} as const

/** Runs a program of each language, and one that fails, in a sandbox that is created for the language. */
export function describeCodeRun(title: string, create: (language: string) => Promise<CodeSandbox>): void {
  describe(`codeRun of ${title}`, () => {
    it.each(['python', 'typescript', 'javascript'] as const)(
      'runs %s',
      { timeout: 2 * COMPILER_MS },
      async (language) => {
        const sandbox = await create(language)
        const { good, bad, says } = PROGRAMS[language]
        const params = { argv: ['one', 'two'], env: { GIVEN: 'three' } }
        expect(await sandbox.process.codeRun(good, params)).toMatchObject({ exitCode: 0, result: 'one+two three ü\n' })
        expect((await sandbox.process.codeRun(bad)).result).toMatch(says)
        await sandbox.delete()
      },
    )
  })
}
