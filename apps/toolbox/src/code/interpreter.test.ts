import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ChannelClient, ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'
import { MAX_WAITING } from './interpreter-context.ts'
import { MAX_CONTEXTS } from './interpreter-contexts.ts'

/** The time for many interpreters to start at once, beside other tests. */
const SLOW_MS = 150_000
const CONTEXTS = '/process/interpreter/context'

let toolbox: TestToolbox
let front: ChannelFront
beforeAll(async () => {
  toolbox = await createTestToolbox({ PATH: `/usr/bin:${process.env['PATH']}` })
  front = await startChannelFront(toolbox.peer)
})
afterAll(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
})

interface Frame {
  type: string
  text?: string
  [field: string]: unknown
}

interface Outcome {
  stdout: string
  stderr: string
  /** All frames but output. */
  frames: Frame[]
  closed: { code: number; reason: string }
}

async function connect(request: unknown): Promise<ChannelClient> {
  const client = await front.connect('/process/interpreter/execute')
  client.socket.send(typeof request === 'string' ? request : JSON.stringify(request))
  return client
}

async function outcome(client: ChannelClient): Promise<Outcome> {
  const closed = await client.closed
  const all = client.messages.map((message): Frame => JSON.parse(message.toString()))
  const text = (type: string) => all.flatMap((frame) => (frame.type === type ? [frame.text ?? ''] : [])).join('')
  const frames = all.filter((frame) => frame.type !== 'stdout' && frame.type !== 'stderr')
  return { stdout: text('stdout'), stderr: text('stderr'), frames, closed }
}

async function execute(code: string, more: Record<string, unknown> = {}): Promise<Outcome> {
  return outcome(await connect({ code, ...more }))
}

async function createContext(): Promise<string> {
  return String(bodyOf(await toolbox.call('POST', CONTEXTS, { json: {} }))['id'])
}

/** Takes frames until the output contains the words. */
async function printed(client: ChannelClient, words: string): Promise<void> {
  let text = ''
  while (!text.includes(words)) text += (JSON.parse((await client.next()).toString()) as Frame).text ?? ''
}

const COMPLETED = { type: 'control', text: 'completed' }

describe('an execution', () => {
  it('keeps its variables, and sends its streams in order, then that it is complete', async () => {
    const first = await execute('import sys\nx = 40\nprint("out ü"); print("err", file=sys.stderr)')
    expect(first).toEqual({
      stdout: 'out ü\n',
      stderr: 'err\n',
      frames: [COMPLETED],
      closed: { code: 1000, reason: '' },
    })
    expect((await execute('print(x + 2)')).stdout).toBe('42\n')
  })

  it('tells its last value beside its output', async () => {
    const value = await execute('print("p")\n[1, "a"]')
    expect(value).toMatchObject({ stdout: 'p\n', frames: [{ type: 'result', text: "[1, 'a']" }, COMPLETED] })
    expect((await execute('None')).frames).toEqual([COMPLETED])
    expect((await execute('{"b": {2}, "a": [[[[[[[1]]]]]]]}')).frames[0]?.text).toBe("{'b': {2}, 'a': [[[[[[[1]]]]]]]}")
    const long = await execute('"x" * 10_000_000')
    expect(long.frames[0]?.text?.length).toBeLessThan(70_000)
    const broken = await execute('class Odd:\n  def __repr__(self): raise ValueError("no")\nOdd()')
    expect(broken.frames).toEqual([COMPLETED])
  })

  it('reports an exception with the lines of its own code, through functions of earlier code', async () => {
    await execute('def half(n):\n    return n / 0')
    const { frames, closed } = await execute('y = 1\nhalf(y)')
    expect(frames).toMatchObject([{ type: 'error', name: 'ZeroDivisionError', value: 'division by zero' }, COMPLETED])
    const traceback = String(frames[0]?.['traceback'])
    expect(traceback).toContain('line 2, in <module>\n    half(y)\n')
    expect(traceback).toContain('line 2, in half\n    return n / 0\n')
    expect(traceback).not.toContain('interpreter.py')
    expect(closed.code).toBe(1000)
  })

  it.each([
    ['x =', 'SyntaxError'],
    ['input()', 'EOFError'],
    ['import sys; sys.exit(3)', 'SystemExit'],
    ['def f(): f()\nf()', 'RecursionError'],
    ['class E(Exception):\n  def __str__(self): raise ValueError()\nraise E()', 'E'],
    ['raise KeyboardInterrupt', 'KeyboardInterrupt'],
  ])('%j is a %s, and the variables are kept', async (code, name) => {
    await execute('kept = "kept"')
    expect((await execute(code)).frames).toMatchObject([{ type: 'error', name }, COMPLETED])
    expect((await execute('print(kept)')).stdout).toBe('kept\n')
  })

  it('awaits at top level', async () => {
    expect(await execute('import asyncio\nawait asyncio.sleep(0, "slept")')).toMatchObject({
      frames: [{ type: 'result', text: "'slept'" }, COMPLETED],
    })
  })

  it('has its variables of the environment for its own time', async () => {
    const code = 'import os\nprint(os.environ.get("GIVEN"))'
    expect((await execute(code, { envs: { GIVEN: 'yes' } })).stdout).toBe('yes\n')
    expect((await execute(code)).stdout).toBe('None\n')
  })

  it('sends the output of what it starts, and of what writes without Python', async () => {
    const code =
      'import os, subprocess\nsubprocess.run("echo child; echo error >&2", shell=True)\nos.write(1, b"raw")\nNone'
    expect(await execute(code)).toMatchObject({ stdout: 'child\nraw', stderr: 'error\n' })
  })

  it('sends charts, after what was printed before them', async ({ skip }) => {
    skip(!existsSync('/usr/lib/python3/dist-packages/matplotlib'), 'matplotlib is not installed')
    const { frames, stdout } = await execute(
      'import matplotlib.pyplot as plt\nplt.plot([1, 4])\nplt.show()\nprint("on")',
      {
        contextId: await createContext(),
      },
    )
    expect(frames).toMatchObject([{ type: 'chart', chart: { type: 'line', png: expect.any(String) } }, COMPLETED])
    expect(stdout).toBe('on\n')
  })

  it('leaves its interpreter usable whatever it does to print and its streams', async () => {
    const contextId = await createContext()
    await execute('import builtins, json, sys\nbuiltins.print = None; json.dumps = None; sys.stdout = None', {
      contextId,
    })
    await execute('import os\nos.close(0); os.close(1); os.close(2)', { contextId })
    expect((await execute('6 * 7', { contextId })).frames).toEqual([{ type: 'result', text: '42' }, COMPLETED])
  })

  it('may fork: the child does not speak for its parent', async () => {
    const contextId = await createContext()
    const { stdout, frames } = await execute('import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint("one")', {
      contextId,
    })
    expect({ stdout, frames }).toEqual({ stdout: 'one\none\n', frames: [COMPLETED] })
    expect((await execute('print(pid > 0)', { contextId })).stdout).toBe('True\n')
  })

  it('gives what a thread prints afterwards to nobody, and to the next execution what it prints then', async () => {
    const contextId = await createContext()
    const code = [
      'import threading, time',
      'told = 0',
      'def talk():',
      '    global told',
      '    while True:',
      '        print("t" * 1000); told += 1; time.sleep(0.001)',
      'threading.Thread(target=talk, daemon=True).start()',
    ]
    expect((await execute(code.join('\n'), { contextId })).frames).toEqual([COMPLETED])
    // The second line printed by then was begun after this code was.
    const wait = 'before = told\nwhile told < before + 2: time.sleep(0.01)\nsum([1, 2])'
    const next = await execute(wait, { contextId })
    expect(next.frames).toEqual([{ type: 'result', text: '3' }, COMPLETED])
    expect(next.stdout).toContain('t'.repeat(1000))
  })
})

describe('a bad request', () => {
  it.each([
    ['no json', 'not valid JSON'],
    [[], 'must be an object'],
    [{}, 'code is required'],
    [{ code: ' \n' }, 'code must not be empty'],
    [{ code: 'x', timeout: -1 }, 'timeout must be at least 0'],
    [{ code: 'x', envs: { 'A=': '' } }, 'no environment can hold'],
    [{ code: 'x', contextId: 'nobody' }, 'there is no interpreter context nobody'],
  ])('%j closes with 1008', async (request, reason) => {
    expect(await outcome(await connect(request))).toMatchObject({
      frames: [],
      closed: { code: 1008, reason: expect.stringContaining(reason) },
    })
  })
})

describe('code that does not end', () => {
  it('is over time with 4008, and its variables are kept', async () => {
    const contextId = await createContext()
    await execute('kept = 1', { contextId })
    const { closed, frames } = await execute('while True: pass', { contextId, timeout: 0.3 })
    expect({ code: closed.code, frames }).toEqual({ code: 4008, frames: [] })
    expect((await execute('print(kept)', { contextId })).stdout).toBe('1\n')
  })

  it('is ended with its interpreter when it does not take an interrupt', async () => {
    const contextId = await createContext()
    await execute('kept = 1', { contextId })
    const stubborn =
      'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass'
    expect((await execute(stubborn, { contextId, timeout: 0.3 })).closed.code).toBe(4008)
    expect((await execute('kept', { contextId })).frames).toMatchObject([
      { type: 'error', name: 'NameError' },
      COMPLETED,
    ])
  })

  it('is interrupted, with what it has started, when its client leaves', async () => {
    const contextId = await createContext()
    const client = await connect({
      code: 'import subprocess\ntry:\n    print("on", flush=True)\n    subprocess.run(["sleep", "98765"])\nfinally:\n    left = True',
      contextId,
    })
    await printed(client, 'on')
    client.socket.terminate()
    expect((await execute('print(left)', { contextId })).stdout).toBe('True\n')
  })

  it('ends with its context, and what waited behind it', async () => {
    const contextId = await createContext()
    const running = await connect({ code: 'print("on", flush=True)\nwhile True: pass', contextId, timeout: 0 })
    await printed(running, 'on')
    const waiting = connect({ code: '1', contextId })
    await (await waiting).socket.ping()
    await toolbox.call('GET', CONTEXTS)
    expect((await toolbox.call('DELETE', `${CONTEXTS}/${contextId}`)).status).toBe(200)
    const interrupted = { frames: [{ type: 'control', text: 'interrupted' }], closed: { code: 1000 } }
    expect(await outcome(running)).toMatchObject(interrupted)
    const second = await outcome(await waiting)
    // The second client may have asked only after the context was gone.
    if (second.closed.code !== 1008) expect(second).toMatchObject(interrupted)
    expect((await execute('1', { contextId })).closed.code).toBe(1008)
  })
})

describe('an interpreter that ends', () => {
  it.each([
    ['import os; print("last words"); os._exit(3)', 'exit status 3'],
    ['import os; print("last words"); os.kill(os.getpid(), 9)', 'SIGKILL'],
    ['import ctypes; print("last words"); ctypes.string_at(0)', 'SIGSEGV'],
    ['import os; print("last words"); os.closerange(3, 1000)', 'exit status'],
    ['import os; print("last words"); os.write(4, b"x\\n")', 'SIGTERM'],
  ])('%j is an error, and the next execution has a fresh one', async (code, how) => {
    const contextId = await createContext()
    await execute('kept = 1', { contextId })
    const { stdout, frames, closed } = await execute(code, { contextId })
    expect(stdout).toBe('last words\n')
    expect(frames).toMatchObject([{ type: 'error', name: 'InterpreterEnded' }, COMPLETED])
    expect(frames[0]?.['value']).toContain(how)
    expect(closed.code).toBe(1000)
    expect((await execute('"kept" in globals()', { contextId })).frames[0]).toEqual({ type: 'result', text: 'False' })
  })

  it('takes what it has started with it', async () => {
    const contextId = await createContext()
    const code = 'import os, subprocess\nprint(subprocess.Popen(["sleep", "99999"]).pid, flush=True)\nos._exit(0)'
    const { stdout } = await execute(code, { contextId })
    await expect.poll(() => existsSync(`/proc/${stdout.trim()}/exe`)).toBe(false)
  })
})

describe('output', () => {
  it('of 40 MB arrives whole', async () => {
    const client = await connect({ code: 'line = "x" * 99_999\nfor _ in range(400): print(line)' })
    let characters = 0
    for (;;) {
      const frame: Frame = JSON.parse((await client.next()).toString())
      if (frame.type === 'stdout') characters += frame.text?.length ?? 0
      else if (frame.type === 'control') break
    }
    expect(characters).toBe(40_000_000)
  })

  it('waits in the interpreter for a client that does not read, and costs no memory here', async () => {
    const contextId = await createContext()
    const client = await connect({ code: 'while True: print("x" * 65536)', contextId, timeout: 3 })
    await client.next()
    client.socket.pause()
    const before = process.memoryUsage()
    await new Promise((resolve) => {
      const other = execute('1', { contextId })
      void other.then(resolve)
    })
    const after = process.memoryUsage()
    expect(after.rss + after.external - before.rss - before.external).toBeLessThan(100_000_000)
    client.socket.resume()
    expect((await client.closed).code).toBe(4008)
  })
})

describe('contexts', () => {
  it('are apart, work in their own folder, and are listed without the default one', async () => {
    await toolbox.call('POST', '/files/folder', { query: { path: 'own', mode: '755' } })
    const created = await toolbox.call('POST', CONTEXTS, { json: { cwd: 'own', language: 'python' } })
    expect(created.status).toBe(200)
    const context = bodyOf(created)
    expect(context).toMatchObject({ cwd: `${toolbox.folder}/own`, active: true, language: 'python' })
    expect(Date.parse(String(context['createdAt']))).toBeLessThanOrEqual(Date.now())
    const contextId = String(context['id'])
    await execute('mine = 1')
    expect((await execute('import os\nprint(os.getcwd(), "mine" in globals())', { contextId })).stdout).toBe(
      `${toolbox.folder}/own False\n`,
    )
    const listed = bodyOf(await toolbox.call('GET', CONTEXTS))['contexts'] as { id: string }[]
    expect(listed.map((one) => one.id)).toContain(contextId)
    expect(listed.map((one) => one.id)).not.toContain('default')
    expect((await toolbox.call('DELETE', `${CONTEXTS}/${contextId}`)).status).toBe(200)
    expect((await toolbox.call('DELETE', `${CONTEXTS}/${contextId}`)).status).toBe(404)
    expect((await toolbox.call('DELETE', `${CONTEXTS}/default`)).status).toBe(400)
  })

  it.each([
    [{ language: 'ruby' }, 'only python has interpreter contexts'],
    [{ cwd: 'nowhere' }, 'ENOENT'],
  ])('are not made of %j', async (json, message) => {
    const answer = await toolbox.call('POST', CONTEXTS, { json })
    expect(bodyOf(answer)).toMatchObject({ statusCode: 400, message: expect.stringContaining(message) })
  })

  it('run what two clients ask for one after the other', async () => {
    const contextId = await createContext()
    const code = 'import time\nbusy = globals().get("busy", 0) + 1\nassert busy == 1\ntime.sleep(0.05)\nbusy -= 1'
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => execute(code, { contextId })))
    expect(outcomes.map(({ frames }) => frames)).toEqual(outcomes.map(() => [COMPLETED]))
  })

  it('refuse more than may wait', async () => {
    const contextId = await createContext()
    const running = await connect({ code: 'print("on", flush=True)\nwhile True: pass', contextId })
    await printed(running, 'on')
    const clients = await Promise.all(Array.from({ length: MAX_WAITING + 1 }, () => connect({ code: '1', contextId })))
    const refused = await Promise.race(clients.map((client) => client.closed))
    expect(refused).toEqual({ code: 1013, reason: `${MAX_WAITING} executions wait already` })
    for (const client of clients) client.socket.terminate()
    running.socket.terminate()
    expect((await execute('1', { contextId })).frames).toEqual([{ type: 'result', text: '1' }, COMPLETED])
  })

  it('are bounded in number', async () => {
    await using other = await createTestToolbox({ PATH: `/usr/bin:${process.env['PATH']}` })
    const answers = await Promise.all(
      Array.from({ length: MAX_CONTEXTS + 1 }, () => other.call('POST', CONTEXTS, { json: {}, timeoutMs: SLOW_MS })),
    )
    const statuses = answers.map((answer) => answer.status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(MAX_CONTEXTS)
    expect(statuses.filter((status) => status === 429)).toHaveLength(1)
  })
})

it('a sandbox without Python says how to install it', async () => {
  await using bare = await createTestToolbox({ PATH: '/nowhere' })
  await using bareFront = await startChannelFront(bare.peer)
  const client = await bareFront.connect('/process/interpreter/execute')
  client.socket.send(JSON.stringify({ code: '1' }))
  const why = 'python3 is not in this sandbox; install it (apt-get install python3) or use an image with it'
  expect(await client.closed).toEqual({ code: 1011, reason: why })
  expect(bodyOf(await bare.call('POST', CONTEXTS, { json: {} }))).toMatchObject({ statusCode: 400, message: why })
})

it('logs no error of its own', () => {
  expect(toolbox.errors).toEqual([])
})
