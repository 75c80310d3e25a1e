import { existsSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createOutputPipes } from '../process/output-pipes.ts'
import { createProcessGroups } from '../process/process-groups.ts'
import { PRINT_OOM_SCORE } from '../testing/oom-score.ts'
import { createWorkDirectory } from '../work-directory.ts'
import { LogReader } from './log-reader.ts'
import { LogStore } from './log-store.ts'
import { Session } from './session.ts'

const commandEnv = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/' }
const shells = ['/bin/bash', '/bin/dash', '/bin/sh', '/bin/zsh', '/bin/ksh'].filter((file) => existsSync(file))

describe.each(shells)('%s', (shellFile) => {
  const pipes = createOutputPipes(commandEnv)
  const groups = createProcessGroups({ graceMs: 100 })
  const work = createWorkDirectory({ dir: '/', home: '/' })
  let session: Session
  beforeEach(async () => {
    const parts = { work, groups, pipes, commandEnv, store: new LogStore(), graceMs: 100, shellFile }
    session = await Session.start('one', parts)
  })
  afterEach(() => session[Symbol.asyncDispose]())

  async function run(text: string) {
    const command = session.execute(text, { takesInput: false, echoesInput: false })
    await command.done
    const pieces = await new LogReader(command.log).read(command.log.total)
    const of = (stream: string) =>
      Buffer.concat(pieces.flatMap((p) => (p.stream === stream ? [p.bytes] : []))).toString()
    return { exitCode: command.exitCode, stdout: of('stdout'), stderr: of('stderr') }
  }

  it('keeps the directory, variables, functions, umask and the last exit code', async () => {
    await run('cd /tmp; export A="a b"; B=2; f() { echo "f $1"; }; umask 027')
    expect((await run('pwd; echo "$A $B"; f x; umask; sh -c \'echo "$A"\'')).stdout).toMatch(
      /^\/tmp\na b 2\nf x\n0?0?27\na b\n$/,
    )
    expect(await run('sh -c "exit 9"')).toMatchObject({ exitCode: 9 })
    expect(await run('echo $?')).toEqual({ exitCode: 0, stdout: '9\n', stderr: '' })
    expect(await run('echo $?')).toMatchObject({ stdout: '0\n' })
  })

  it.each([
    ['a syntax error', 'if', /syntax|parse/i],
    ['an open quote', 'echo "abc', /./],
    ['a bad substitution', `echo \${x!y}`, /bad substitution/i],
    ['a division by zero', 'echo $((1/0))', /division by|divide by/],
    ['an assignment to a constant', 'readonly r=1; r=2', /read-?only|is read/],
    ['a missing program', 'no-such-program', /not found/],
  ])('survives %s', async (_what, text, stderr) => {
    const result = await run(text)
    expect(result.exitCode).toBeGreaterThan(0)
    expect(result.stderr).toMatch(stderr)
    expect(await run('echo here')).toEqual({ exitCode: 0, stdout: 'here\n', stderr: '' })
  })

  it.each([
    'exec >/dev/null 2>&1 </dev/null',
    'exec 1>&- 2>&- 0<&-',
    'set -C',
    'set -x',
    'printf() { echo fake; }; eval() { echo fake; }',
    "echo '\n00000000-0000-0000-0000-000000000000 0'",
    'cat <<END\nno end',
    'echo text # comment',
    'cat; read line || true',
    'trap "echo left" EXIT',
    'PATH=/nowhere',
    'unset PATH HOME; set --',
    'set -u',
    'IFS=0123456789-',
  ])('survives %j', async (text) => {
    await run(text)
    const { exitCode, stdout } = await run('echo here; (exit 5)')
    expect([exitCode, stdout]).toEqual([5, 'here\n'])
  })

  it.each([
    ['exit 3', 3],
    ['exec sh -c "exit 4"', 4],
    ['kill -9 $$', 137],
    ['kill -TERM $$; sleep 100', 143],
    ['set -e; sh -c "exit 6"; echo not here', 6],
  ])('ends with %j, which tells the exit code', async (text, exitCode) => {
    const next = session.execute(text, { takesInput: false, echoesInput: false })
    const waiting = session.execute('echo never', { takesInput: false, echoesInput: false })
    await next.done
    await waiting.done
    expect(next.exitCode).toBe(exitCode)
    expect(waiting).toMatchObject({ exitCode: -1, neverRan: true })
    expect(() => session.execute('true', { takesInput: false, echoesInput: false })).toThrow(/has ended/)
  })

  it('is what the kernel ends when memory runs out', async () => {
    expect((await run(PRINT_OOM_SCORE)).stdout).toBe('score 500\n')
  })

  it('gives commands no descriptor beside their three', async () => {
    const { stdout } = await run('ls -l /proc/self/fd')
    const descriptors = [...stdout.matchAll(/ (\d+) -> (\S+)/g)].map(([, number, target]) => `${number} ${target}`)
    // The command inherits vitest's own pipes, not by the shell; `ls` opens 3.
    expect(descriptors.slice(0, 3)).toEqual([
      '0 /dev/null',
      expect.stringMatching(/^1 \//),
      expect.stringMatching(/^2 \//),
    ])
  })

  it('runs multi-line commands, heredocs and quotes of all kinds', async () => {
    const text = `for i in 1 2\ndo\n  echo "$i"\ndone\ncat <<'END'\n$HOME "x" 'y' \`z\` \\\nEND\necho "it's" \\\n  done`
    expect((await run(text)).stdout).toBe(`1\n2\n$HOME "x" 'y' \`z\` \\\nit's done\n`)
  })

  it('runs commands longer than an argument can be', async () => {
    const text = 'x'.repeat(300_000)
    expect((await run(`cat <<'END' | wc -c\n${text}\nEND`)).stdout.trim()).toBe('300001')
  })
})
