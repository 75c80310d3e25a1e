import type { Sandbox } from '@daytonaio/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sdk17, sdk23 } from './testing/shared-system.ts'

/** The longest start of a compiler, beside other tests. */
const SLOW_MS = 120_000

let sandbox: Sandbox

/** Runs a command and returns its output. */
async function run(command: string): Promise<string> {
  return (await sandbox.process.executeCommand(command)).result.trim()
}

beforeAll(async () => {
  sandbox = await sdk23().create({ language: 'typescript' })
})
afterAll(() => sandbox.delete())

describe('a sandbox, whatever its image holds,', () => {
  it('runs TypeScript and JavaScript as the SDKs send it', { timeout: SLOW_MS }, async () => {
    const code = `const words: string[] = process.argv.slice(2); console.log(words.join('+'), process.env.GIVEN)`
    const typescript = await sandbox.process.codeRun(code, { argv: ['one', 'two'], env: { GIVEN: 'three' } })
    expect(typescript).toMatchObject({ exitCode: 0, result: 'one+two three\n' })
    const javascript = await sandbox.process.codeRun('const six = 6; console.log(six * 7)')
    expect(javascript).toMatchObject({ exitCode: 0, result: '42\n' })
  })

  it('runs TypeScript as SDK 0.17 sends it', { timeout: SLOW_MS }, async () => {
    const older = await sdk17().create({ language: 'typescript' })
    try {
      const answer = await older.process.codeRun('const six: number = 6; console.log(six * 7)')
      expect(answer).toMatchObject({ exitCode: 0, result: '42\n' })
    } finally {
      await older.delete()
    }
  })

  it('is told of mistakes in TypeScript', { timeout: SLOW_MS }, async () => {
    const { result } = await sandbox.process.codeRun(`const six: number = 'six'`)
    expect(result).toContain("Type 'string' is not assignable to type 'number'")
  })

  it.each([
    ['ts-node --version', /^v10\./],
    ['tsc --version', /^Version 5\./],
    ['typescript-language-server --version', /^5\./],
    ['pyright --version', /^pyright 1\./],
    ['rg --version', /^ripgrep \d/],
  ])('has %s', { timeout: SLOW_MS }, async (command, version) => {
    // No program of the image is on the PATH, and NODE_OPTIONS, which are for the user's code, hold one that Node refuses.
    const bare = `PATH=/opt/atoll/tools/bin NODE_OPTIONS=--no-such-option LD_LIBRARY_PATH=/nowhere`
    const options = command.startsWith('ts-node') ? 'PATH=/opt/atoll/tools/bin' : bare
    expect(await run(`${options} ${command}`)).toMatch(version)
  })

  it('has a node that starts itself again', async () => {
    const program = `process.argv[2] ? console.log('forked', process.argv[2]) : require('node:child_process').fork('/tmp/fork.js', ['on'])`
    await sandbox.fs.uploadFile(Buffer.from(program), '/tmp/fork.js')
    expect(await run('/opt/atoll/bin/node /tmp/fork.js')).toBe('forked on')
    expect(await run(`/opt/atoll/bin/node -p 'process.execPath'`)).toBe('/opt/atoll/bin/node')
  })

  it('lends a project what the project has itself, in its own version', async () => {
    const own = 'mkdir -p p/q p/node_modules/.bin && cd p/q && ln -sf /bin/echo ../node_modules/.bin/ts-node'
    expect(await run(`${own} && npx --yes ts-node a b`)).toBe('a b')
  })

  it("hands npx on to the image's own, and says so when there is none", async () => {
    const own = `mkdir -p own && printf '#!/bin/sh\\necho own "$@"' >own/npx && chmod +x own/npx`
    expect(await run(`${own} && PATH=/opt/atoll/tools/first:$PWD/own:$PATH npx -y cowsay a`)).toBe('own -y cowsay a')
    const none = await sandbox.process.executeCommand('PATH=/opt/atoll/tools/first:/opt/atoll/tools/bin npx cowsay')
    expect(none.exitCode).toBe(127)
    expect(none.result).toContain('npx: this sandbox has no npx of its own, and cowsay is not one of: ts-node|tsc|')
  })

  it('finds them in login shells as well', async () => {
    const path = await run(`bash -lc 'echo $PATH'`)
    expect(path).toMatch(/^\/opt\/atoll\/tools\/first:.*:\/opt\/atoll\/tools\/bin:\/opt\/atoll\/bin$/)
  })

  it('cannot change them', async () => {
    expect(await run('touch /opt/atoll/tools/bin/rg 2>&1')).toMatch(/Read-only file system|Permission denied/)
  })
})
