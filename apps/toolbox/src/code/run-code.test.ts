import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

const TOOLS = join(import.meta.dirname, '../../../sandbox-tools/dist/bin')
const PATH = `${process.env['PATH']}:${TOOLS}`
/** The time for a compiler to start, beside other tests. */
const SLOW_MS = 150_000

let toolbox: TestToolbox
beforeAll(async () => {
  // The system's Python comes first: one that a user has put before it need not have matplotlib.
  toolbox = await createTestToolbox({ PATH: `/usr/bin:${PATH}`, INHERITED: 'yes' })
})
afterAll(() => toolbox[Symbol.asyncDispose]())

async function run(body: Record<string, unknown>) {
  const response = await toolbox.call('POST', '/process/code-run', { json: body, timeoutMs: SLOW_MS })
  return { status: response.status, ...bodyOf(response) } as {
    status: number
    result: string
    exitCode: number
    artifacts?: { charts: Record<string, unknown>[] }
    message?: string
  }
}

describe('python', () => {
  const python = (code: string, more: Record<string, unknown> = {}) => run({ code, language: 'python', ...more })

  it('sees its arguments, its variables, the work directory and an empty input', async () => {
    const code = `import os, sys\nprint(sys.argv[1:], os.environ["GIVEN"], os.environ["INHERITED"], os.getcwd(), sys.stdin.read() == "")`
    expect(await python(code, { argv: ['a b', '-c', '$HOME'], envs: { GIVEN: 'two words' } })).toEqual({
      status: 200,
      exitCode: 0,
      result: `['a b', '-c', '$HOME'] two words yes ${toolbox.folder} True\n`,
    })
  })

  it('is what the kernel ends when memory runs out', async () => {
    expect((await python('print(open("/proc/self/oom_score_adj").read())')).result).toBe('500\n\n')
  })

  it('is the main program', async () => {
    const code = `import pickle\nclass Thing: pass\npickle.dumps(Thing())\nprint(__name__, [n for n in dir() if n[:2] != '__'])`
    expect((await python(code)).result).toBe("__main__ ['Thing', 'pickle']\n")
  })

  it('ends with a traceback of its own frames only, and status 1', async () => {
    const { exitCode, result } = await python('def f():\n    return 1 / 0\nf()')
    expect(exitCode).toBe(1)
    expect(result).toContain('  File "<string>", line 3, in <module>\n')
    expect(result).toContain('ZeroDivisionError: division by zero\n')
    expect(result).not.toContain('run_once')
  })

  it.each([
    ['import sys; sys.exit(7)', 7, ''],
    ['raise SystemExit("bye")', 1, 'bye\n'],
    ['x = ', 1, 'SyntaxError: invalid syntax\n'],
    ['import os; os.kill(os.getpid(), 9)', 137, ''],
    ['import os; os.close(1); print("x")', 1, 'Bad file descriptor'],
  ])('%s exits with %i', async (code, exitCode, output) => {
    const answer = await python(code)
    expect(answer.exitCode).toBe(exitCode)
    expect(answer.result).toContain(output)
  })

  it('may be longer than an argument', async () => {
    expect((await python(`text = "${'x'.repeat(1_000_000)}"\nprint(len(text))`)).result).toBe('1000000\n')
  })

  it('is ended with all it has started at its timeout', async () => {
    // A duration that no other run uses, so that only this process is found.
    const seconds = 900_000 + Math.floor(Math.random() * 90_000)
    const code = `import subprocess, time\nsubprocess.Popen(["sleep", "${seconds}"])\nwhile True: time.sleep(1)`
    expect((await python(code, { timeout: 1 })).status).toBe(408)
    await toolbox.groups[Symbol.asyncDispose]()
    // The kernel takes a moment to end the process.
    const left = () => spawnSync('pgrep', ['-f', `sleep ${seconds}`], { encoding: 'utf8' }).stdout
    await expect.poll(left).toBe('')
  })

  it('has charts beside its output', async ({ skip }) => {
    skip(!existsSync('/usr/lib/python3/dist-packages/matplotlib'), 'matplotlib is not installed')
    const code = [
      'import matplotlib.pyplot as plt',
      'print("before")',
      'plt.plot([1, 2, 3], [2, float("nan"), 4], label="line")',
      'plt.title("One"); plt.xlabel("x"); plt.show()',
      'figure, (left, right) = plt.subplots(1, 2)',
      'left.bar(["a", "b"], [1, 2]); right.pie([1, 3], labels=["p", "q"]); plt.show()',
      'plt.boxplot([[1, 2, 3, 4, 50]]); plt.show()',
      'plt.show()',
      'print("after")',
    ].join('\n')
    const { result, artifacts } = await python(code)
    expect(result).toBe('before\nafter\n')
    expect(artifacts?.charts).toMatchObject([
      {
        type: 'line',
        title: 'One',
        x_label: 'x',
        x_scale: 'linear',
        elements: [
          {
            label: 'line',
            points: [
              [1, 2],
              [2, null],
              [3, 4],
            ],
          },
        ],
      },
      {
        type: 'composite_chart',
        elements: [
          {
            type: 'bar',
            x_scale: 'categorical',
            elements: [
              { label: 'a', value: 1 },
              { label: 'b', value: 2 },
            ],
          },
          {
            type: 'pie',
            elements: [
              { label: 'p', angle: 90 },
              { label: 'q', angle: 270 },
            ],
          },
        ],
      },
      { type: 'box_and_whisker', elements: [{ min: 1, median: 3, outliers: [50] }] },
    ])
    const picture = Buffer.from(String(artifacts?.charts[0]?.['png']), 'base64')
    expect(picture.subarray(1, 4).toString()).toBe('PNG')
  })

  it('may print what looks like a chart', async () => {
    const mark = 'dtn_artifact_k39fd2:'
    const code = `print("${mark}{"); print("${mark}" + '{"type": "chart", "value": {"type": "x"}}'); print("a ${mark}"); print("b")`
    expect(await python(code)).toMatchObject({ result: `a ${mark}\nb\n`, artifacts: { charts: [{ type: 'x' }] } })
  })
})

describe('javascript', () => {
  const javascript = (code: string, more: Record<string, unknown> = {}) =>
    run({ code, language: 'javascript', ...more })

  it('sees its arguments, modules and an empty input', async () => {
    const code = `console.log(process.argv.slice(2), require('fs').readFileSync(0, 'utf8') === '', process.cwd())`
    expect(await javascript(code, { argv: ['--one', 'a b'] })).toEqual({
      status: 200,
      exitCode: 0,
      result: `[ '--one', 'a b' ] true ${toolbox.folder}\n`,
    })
  })

  it('may be an ES module', async () => {
    expect(
      await javascript(`import { basename } from 'node:path'\nconsole.log(basename('/a/b'), await 3)`),
    ).toMatchObject({
      exitCode: 0,
      result: 'b 3\n',
    })
    expect((await javascript(`const it = 'import x from "y"'; console.log(typeof require)`)).result).toBe('function\n')
  })

  it('may be longer than an argument', async () => {
    expect((await javascript(`console.log('${'x'.repeat(300_000)}'.length)`)).result).toBe('300000\n')
  })

  it('fails with its own status and message', async () => {
    expect((await javascript('process.exit(3)')).exitCode).toBe(3)
    const thrown = await javascript(`throw new Error('boom')`)
    expect(thrown.exitCode).toBe(1)
    expect(thrown.result).toContain('Error: boom')
  })
})

describe('typescript', () => {
  it('is checked and run, with its arguments', async ({ skip }) => {
    skip(!existsSync(TOOLS), 'the tools are not built')
    const code = `-1\nconst words: string[] = process.argv.slice(2)\nconsole.log(words.join())`
    expect(await run({ code, language: 'typescript', argv: ['a', '-b'] })).toMatchObject({
      exitCode: 0,
      result: 'a,-b\n',
    })
    const wrong = await run({ code: 'const n: number = "x"', language: 'typescript' })
    expect(wrong.exitCode).toBe(1)
    expect(wrong.result).toContain("Type 'string' is not assignable to type 'number'")
  })

  it('may not be longer than an argument', async () => {
    const answer = await run({ code: `'${'x'.repeat(200_000)}'`, language: 'typescript' })
    expect(answer).toMatchObject({ status: 413, message: expect.stringContaining('upload it as a file') })
  })
})

it.each([
  [{ code: 'x', language: 'cobol' }, 'body: language must be one of python, javascript, typescript'],
  [{ code: ' ', language: 'python' }, 'body: code must not be empty'],
  [{ code: 'a\0', language: 'python' }, 'must not contain a NUL character'],
  [{ code: 'x', language: 'python', argv: [1] }, 'body: argv[0] must be a string'],
  [{ code: 'x', language: 'python', envs: { 'A=B': '' } }, 'envs has a name or value'],
  [{ language: 'python' }, 'body: code is required'],
])('%j is refused', async (body, message) => {
  expect(await run(body)).toMatchObject({ status: 400, message: expect.stringContaining(message) })
})

it('a language that is not in the sandbox is named, and how to install it', async () => {
  await using bare = await createTestToolbox({ PATH: '/nowhere' })
  for (const language of ['python', 'javascript', 'typescript']) {
    const answer = bodyOf(await bare.call('POST', '/process/code-run', { json: { code: 'x', language } }))
    expect(answer).toMatchObject({ exitCode: 127, result: expect.stringMatching(/is not in this sandbox; install it/) })
  }
  expect(await readdir(bare.folder)).toEqual([])
})
