import { describe, expect, it } from 'vitest'
import { describeCodeRun } from './testing/code-scenario.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { sdk218 } from './testing/shared-system.ts'

/** The longest start of a compiler, or first start of matplotlib, beside other tests. */
const SLOW_MS = 120_000

const own = ownSandbox218()

describeCodeRun('SDK 0.218', (language) => sdk218().create({ language }))

describe('codeRun of SDK 0.218', { timeout: SLOW_MS }, () => {
  it('runs Python with its arguments and variables', async () => {
    const code = 'import os, sys\nprint(sys.argv[1:], os.environ["GIVEN"])\nsys.exit(3)'
    const answer = await own.sandbox.process.codeRun(code, { argv: ['a b'], env: { GIVEN: 'two words' } })
    expect(answer).toMatchObject({ exitCode: 3, result: "['a b'] two words\n" })
  })

  it('returns charts', async () => {
    const code = 'import matplotlib.pyplot as plt\nplt.bar(["a", "b"], [1, 2])\nplt.show()\nprint("drawn")'
    const { result, artifacts } = await own.sandbox.process.codeRun(code)
    expect(result).toBe('drawn\n')
    expect(artifacts?.charts).toMatchObject([{ type: 'bar', png: expect.stringMatching(/^iVBOR/) }])
  })

  it('gives up after its timeout', async () => {
    await expect(own.sandbox.process.codeRun('while True: pass', undefined, 1)).rejects.toThrow(/timeout/i)
  })
})

describe('codeInterpreter of SDK 0.218', { timeout: SLOW_MS }, () => {
  it('keeps variables, and tells errors', async () => {
    const { codeInterpreter } = own.sandbox
    const heard: string[] = []
    const onStdout = ({ output }: { output: string }) => heard.push(output)
    expect(await codeInterpreter.runCode('x = 41\nprint("set")', { onStdout })).toEqual({ stdout: 'set\n', stderr: '' })
    expect(heard.join('')).toBe('set\n')
    expect(await codeInterpreter.runCode('print(x + 1)\n1 / 0')).toMatchObject({
      stdout: '42\n',
      error: { name: 'ZeroDivisionError', value: 'division by zero', traceback: expect.stringContaining('line 2') },
    })
  })

  it('has contexts apart, each with its folder', async () => {
    const { codeInterpreter } = own.sandbox
    const context = await codeInterpreter.createContext('/tmp')
    expect((await codeInterpreter.listContexts()).map((one) => one.id)).toEqual([context.id])
    const { stdout } = await codeInterpreter.runCode('import os\nprint(os.getcwd(), "x" in globals())', { context })
    expect(stdout).toBe('/tmp False\n')
    await codeInterpreter.deleteContext(context)
    await expect(codeInterpreter.runCode('1', { context })).rejects.toThrow('there is no interpreter context')
    expect(await codeInterpreter.listContexts()).toEqual([])
  })

  it('has variables of the environment for one run, and tells both streams as they come', async () => {
    const { codeInterpreter } = own.sandbox
    const code = 'import os, sys\nprint(os.environ.get("GIVEN"))\nprint("wrong", file=sys.stderr)'
    const heard: string[] = []
    const onStderr = ({ output }: { output: string }) => heard.push(output)
    const given = await codeInterpreter.runCode(code, { envs: { GIVEN: 'yes' }, onStderr })
    expect(given).toEqual({ stdout: 'yes\n', stderr: 'wrong\n' })
    expect(heard.join('')).toBe('wrong\n')
    expect((await codeInterpreter.runCode(code)).stdout).toBe('None\n')
  })

  it('interrupts what is over time, and keeps the variables', async () => {
    const { codeInterpreter } = own.sandbox
    await codeInterpreter.runCode('kept = "kept"')
    await expect(codeInterpreter.runCode('while True: pass', { timeout: 1 })).rejects.toThrow(/timed out/)
    expect((await codeInterpreter.runCode('print(kept)')).stdout).toBe('kept\n')
  })

  it('survives code that takes all memory', async () => {
    const { codeInterpreter } = own.sandbox
    const { error } = await codeInterpreter.runCode('a = []\nwhile True: a.append(bytearray(64 << 20))')
    expect(error).toMatchObject({ name: expect.stringMatching(/^(InterpreterEnded|MemoryError)$/) })
    expect((await codeInterpreter.runCode('print("on")')).stdout).toBe('on\n')
  })
})
