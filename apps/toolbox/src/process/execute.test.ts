import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PRINT_OOM_SCORE } from '../testing/oom-score.ts'
import { processesIn } from '../testing/processes-in.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'
import { MAX_OUTPUT_BYTES } from './output-recorder.ts'
import { MAX_COMMANDS } from './run-to-end.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox({ FROM_TOOLBOX: 'yes' })
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const call = (request: Record<string, unknown>, signal?: AbortSignal) =>
  toolbox.call('POST', '/process/execute', { json: request, ...(signal === undefined ? {} : { signal }) })

async function run(command: string, more: Record<string, unknown> = {}) {
  const response = await call({ command, ...more })
  expect(response.status).toBe(200)
  const { exitCode, code, result } = bodyOf(response)
  expect(code).toBe(exitCode)
  return { exitCode, result: String(result) }
}

/** Waits until the file has its first full line, written by a running command, and returns it. */
async function firstLine(name: string): Promise<string> {
  for (;;) {
    const text = await readFile(at(name), 'utf8').catch(() => '')
    const [line, ...rest] = text.split('\n')
    if (line !== undefined && rest.length > 0) return line
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Waits until the process is gone, or dead and not yet collected; the test's own deadline bounds it. */
async function untilEnded(pid: number): Promise<void> {
  for (;;) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (stat === '' || /^\d+ \(.*\) [ZX]/s.test(stat)) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('a command', () => {
  it('answers with its exit code, under both names, and its output', async () => {
    expect(await run('echo out; exit 7')).toEqual({ exitCode: 7, result: 'out\n' })
    expect(await run('true')).toEqual({ exitCode: 0, result: '' })
    expect(await run('no-such-program')).toMatchObject({ exitCode: 127 })
    expect(await run('if')).toMatchObject({ exitCode: 2 })
  })

  it('has stdout and stderr in the order they were written', async () => {
    const { result } = await run('for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done')
    expect(result).toBe('o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n')
  })

  it('can open its outputs by name', async () => {
    expect(await run('echo a > /dev/stderr; echo b | tee /dev/stderr >/dev/null; echo c > /dev/stdout')).toEqual({
      exitCode: 0,
      result: 'a\nb\nc\n',
    })
  })

  it('reads an end of file from stdin at once', async () => {
    expect(await run('cat; read line || echo none')).toEqual({ exitCode: 0, result: 'none\n' })
  })

  it('is what the kernel ends when memory runs out', async () => {
    expect((await run(PRINT_OOM_SCORE)).result).toBe('score 500\n')
  })

  it('dies of a signal with 128 and its number', async () => {
    expect(await run('kill -9 $$')).toMatchObject({ exitCode: 137 })
    expect(await run('kill -TERM $$')).toMatchObject({ exitCode: 143 })
  })

  it('may be multi-line, with heredocs and quotes of all kinds', async () => {
    const command = `cat <<'END'\n$HOME "x" 'y' \`z\`\nEND\necho "it's"`
    expect(await run(command)).toEqual({ exitCode: 0, result: `$HOME "x" 'y' \`z\`\nit's\n` })
  })

  it('may be longer than an argument can be', async () => {
    const text = 'x'.repeat(1_000_000)
    const { result } = await run(
      `cat <<'END' | wc -c\n${text}\nEND\nif [ -e /proc/$$/fd/3 ]; then echo open; else echo closed; fi`,
    )
    expect(result).toBe('1000001\nclosed\n')
    const quoted = await run(`sh -c "echo '${text}' | wc -c"`)
    expect(quoted.result).toBe('1000001\n')
  })

  it('has bytes that are no UTF-8 replaced', async () => {
    expect((await run(`printf 'a\\377b\\360\\237\\246\\200'`)).result).toBe('a\ufffdb🦀')
  })

  it('gives its output back cut, with a notice, when it is too long', async () => {
    const { result, exitCode } = await run(
      `head -c ${MAX_OUTPUT_BYTES - 1} /dev/zero | tr '\\0' x; printf 'é%08d' 0; exit 3`,
    )
    expect(exitCode).toBe(3)
    expect(result).toHaveLength(MAX_OUTPUT_BYTES - 1 + '\n[output cut: 9 more bytes were not kept]\n'.length)
    expect(result.slice(-43)).toBe('xx\n[output cut: 9 more bytes were not kept]\n'.slice(-43))
  })
})

describe('a command in sh -c "…"', () => {
  const wrap = (command: string, env: Record<string, string> = {}) => {
    const encode = (text: string) => Buffer.from(text).toString('base64')
    const exports = Object.entries(env).map(([key, value]) => `export ${key}=$(echo '${encode(value)}' | base64 -d);`)
    return `sh -c "${exports.join('')} echo '${encode(command)}' | base64 -d | sh"`
  }

  it('keeps environment values with spaces and quotes, as the SDKs send them', async () => {
    const env = { A: 'two words', B: `"double" 'single' $HOME \`id\` \\ ;`, C: 'line\nline' }
    expect(await run(wrap('printf "%s|" "$A" "$B" "$C"', env))).toEqual({
      exitCode: 0,
      result: 'two words|"double" \'single\' $HOME `id` \\ ;|line\nline|',
    })
  })

  it.each([
    ['sh -c "echo a" && echo "b"', 'a\nb\n'],
    ['sh -c "echo \\"quoted\\""', 'quoted\n'],
    ['sh -c "X=1; echo \\$X"', '1\n'],
    ['sh -c "printf \'%s\\n\' x"', 'x\n'],
    ['sh -c \'echo "$0"\' name', 'name\n'],
  ])('%s means what it means to a shell', async (command, result) => {
    expect(await run(command)).toEqual({ exitCode: 0, result })
  })
})

describe('where a command runs', () => {
  it('is the work directory, or cwd against it', async () => {
    await mkdir(at('sub'))
    expect((await run('pwd')).result).toBe(`${toolbox.folder}\n`)
    expect((await run('pwd', { cwd: '' })).result).toBe(`${toolbox.folder}\n`)
    expect((await run('pwd', { cwd: 'sub' })).result).toBe(`${toolbox.folder}/sub\n`)
    expect((await run('pwd', { cwd: '~/sub' })).result).toBe(`${toolbox.folder}/sub\n`)
    expect((await run('pwd', { cwd: '/' })).result).toBe('/\n')
  })

  it.each([
    ['missing', 'ENOENT'],
    ['file', 'not a directory'],
    ['a\0b', 'NUL'],
    ['x'.repeat(300), '255 bytes'],
  ])('that cannot be answers -1 and says why', async (cwd, words) => {
    await writeFile(at('file'), '')
    const { exitCode, result } = await run('echo never', { cwd })
    expect(exitCode).toBe(-1)
    expect(result).toContain(words)
    expect(result).not.toContain('never')
  })

  it('has the environment of the toolbox and what the caller adds', async () => {
    const envs = { ADDED: 'a b', FROM_TOOLBOX: 'no', ['__proto__']: 'p' }
    const { result } = await run('printf "%s|" "$FROM_TOOLBOX" "$ADDED" "$HOME"', { envs })
    expect(result).toBe(`no|a b|${toolbox.folder}|`)
  })

  it('has no place for a value over 128 KiB, which answers -1 and gives the pipe back', async () => {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      expect(await run('true', { envs: { BIG: 'x'.repeat(200_000) } })).toMatchObject({
        exitCode: -1,
        result: expect.stringContaining('E2BIG'),
      })
    }
  })
})

describe('a command that is refused', () => {
  it.each([
    { command: '' },
    { command: ' \n\t' },
    { command: 'a\0b' },
    { command: 'true', envs: { 'A=B': '1' } },
    { command: 'true', envs: { '': '1' } },
    { command: 'true', envs: { A: '\0' } },
  ])('%j is a 400', async (request) => {
    const response = await call(request)
    expect(bodyOf(response)).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' })
  })
})

describe('background processes', () => {
  it('do not hold the answer back, and live on with a reader for their output', async () => {
    const { result } = await run(
      '(echo $BASHPID > pid; while ! [ -e go ]; do sleep 0.01; done; echo late; echo done > finished) & echo started',
    )
    expect(result).toBe('started\n')
    const pid = Number(await firstLine('pid'))
    await writeFile(at('go'), '')
    expect(await firstLine('finished')).toBe('done')
    await untilEnded(pid)
  })

  it('that never stop writing do not hold the answer back either', async () => {
    const { result } = await run('yes & echo $! > pid; echo started')
    expect(result).toContain('started')
    process.kill(Number(await firstLine('pid')), 'SIGKILL')
  })

  it('are ended at shutdown, even those that ignore SIGTERM', async () => {
    await run('nohup sh -c \'trap "" TERM; echo $$ > pid; while :; do sleep 1; done\' >/dev/null 2>&1 &')
    const pid = Number(await firstLine('pid'))
    await toolbox.groups[Symbol.asyncDispose]()
    await untilEnded(pid)
  })
})

describe('the end of a command', () => {
  const stubborn = 'sh -c \'trap "" TERM; echo $$ > pid; while :; do sleep 1; done\' & wait; wait; sleep 1000'

  it('comes at its timeout with a 408, for its whole group, even one that ignores SIGTERM', async () => {
    const response = await call({ command: stubborn, timeout: 1 })
    expect(bodyOf(response)).toMatchObject({
      statusCode: 408,
      code: 'PROCESS_EXECUTION_TIMEOUT',
      message: 'command execution timeout',
    })
    // The processes are gone, however far the command had come.
    await expect.poll(() => processesIn(toolbox.folder)).toEqual([])
  })

  it('comes when its caller goes away', async () => {
    const caller = new AbortController()
    const answer = call({ command: stubborn }, caller.signal)
    const pid = Number(await firstLine('pid'))
    caller.abort()
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' })
    await untilEnded(pid)
  })

  it('comes when the link breaks', async () => {
    const answer = call({ command: stubborn })
    const pid = Number(await firstLine('pid'))
    toolbox.peer.close()
    await expect(answer).rejects.toMatchObject({ code: 'LINK_CLOSED' })
    await untilEnded(pid)
  })
})

describe('many commands at once', () => {
  it('each get their own output', async () => {
    const numbers = Array.from({ length: 50 }, (_, index) => index)
    const results = await Promise.all(numbers.map((n) => run(`echo ${n}; echo e${n} >&2; exit ${n}`)))
    expect(results).toEqual(numbers.map((n) => ({ exitCode: n, result: `${n}\ne${n}\n` })))
  })

  it('leave no descriptor behind', async () => {
    const open = () => Number(execFileSync('sh', ['-c', `ls /proc/${process.pid}/fd | wc -l`], { encoding: 'utf8' }))
    await Promise.all(Array.from({ length: 30 }, () => run('echo x')))
    const before = open()
    for (let round = 0; round < 3; round += 1) await Promise.all(Array.from({ length: 30 }, () => run('echo x')))
    // Some descriptors are still being closed, and up to 8 pipes are kept; a leak would be one or more for each of the 90.
    await expect.poll(() => open() - before).toBeLessThan(30)
  })

  it('are bounded', async () => {
    const callers = Array.from({ length: MAX_COMMANDS + 1 }, () => new AbortController())
    const pending = callers.map(({ signal }) => call({ command: 'sleep 1000' }, signal))
    const refused = await Promise.race(pending)
    expect(bodyOf(refused)).toMatchObject({ statusCode: 429, code: 'RATE_LIMITED' })
    for (const caller of callers) caller.abort()
    await Promise.allSettled(pending)
  })
})

describe('without named pipes', () => {
  it('both streams still arrive', async () => {
    // With this PATH no mkfifo is found.
    await using bare = await createTestToolbox({ PATH: toolbox.folder })
    const response = await bare.call('POST', '/process/execute', { json: { command: 'echo o; echo e >&2; exit 3' } })
    expect(bodyOf(response)).toMatchObject({ exitCode: 3 })
    expect(String(bodyOf(response)['result']).split('\n').sort()).toEqual(['', 'e', 'o'])
  })
})
