import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RunCommand } from '../../run-command.ts'
import { runCommand } from '../../run-command.ts'
import { prepareInjectedRuntime } from './injected-runtime.ts'

let folder: string
let toolboxDir: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-runtime-'))
  toolboxDir = join(folder, 'toolbox')
  await mkdir(toolboxDir)
  await writeFile(join(toolboxDir, 'main.js'), 'export {}', { mode: 0o600 })
})
afterEach(() => rm(folder, { recursive: true }))

// Takes a small program in Node's place, so that nothing large is copied.
const prepare = (run: RunCommand = runCommand) =>
  prepareInjectedRuntime({ folder, nodePath: '/bin/cat', toolboxDir, run })

/** Returns a `run` whose `ldd` prints `text` for every program. */
const lddSays =
  (text: string): RunCommand =>
  async () => ({ code: 0, stdout: text, stderr: '' })

it('holds a program, its loader and libraries, an init and the toolbox, for everybody to read', async () => {
  await writeFile(join(toolboxDir, 'node-flags.json'), '["--max-old-space-size=64", "--no-warnings"]')
  const runtime = await prepare()
  const names = await readdir(runtime.folder)
  expect(names.sort()).toEqual(['bin', 'lib', 'node', 'package.json', 'tini', 'toolbox', 'tools'])
  expect(await readdir(join(runtime.folder, 'lib'))).toEqual(expect.arrayContaining(['libc.so.6']))
  expect((await stat(join(runtime.folder, 'toolbox/main.js'))).mode & 0o555).toBe(0o555)
  expect(await readFile(join(runtime.folder, 'bin/node'), 'utf8')).toMatch(
    /^#!\/bin\/sh\nexec \/opt\/atoll\/lib\/ld-linux\S+ --library-path \/opt\/atoll\/lib \/opt\/atoll\/node --require \S+ "\$@"\n$/,
  )
  const { nodeCommand, toolboxCommand } = runtime
  expect(nodeCommand[0]).toBe('/opt/atoll/tini')
  expect(nodeCommand[2]).toMatch(/^\/opt\/atoll\/lib\/ld-linux/)
  expect(nodeCommand.slice(3)).toEqual(['--library-path', '/opt/atoll/lib', '/opt/atoll/node'])
  expect(toolboxCommand.slice(nodeCommand.length)).toEqual([
    '--max-old-space-size=64',
    '--no-warnings',
    '/opt/atoll/toolbox/main.js',
  ])
})

it('holds the libraries of the addons of the toolbox', async () => {
  // The addon needs more libraries than the program: any library of the machine will do.
  const { stdout } = await runCommand(['ldd', process.execPath])
  const library = /=> (\S*libstdc\S*)/.exec(stdout)?.[1] ?? 'Node has no C++ library'
  await copyFile(library, join(toolboxDir, 'pty.node'))
  const runtime = await prepare()
  const names = await readdir(join(runtime.folder, 'lib'))
  expect(names).toEqual(expect.arrayContaining(['libc.so.6', 'libm.so.6', 'libgcc_s.so.1']))
  expect(new Set(names).size).toBe(names.length)
  expect((await stat(join(runtime.folder, 'toolbox/pty.node'))).mode & 0o555).toBe(0o555)
})

it('names the library that an addon needs and the host has not', async () => {
  await writeFile(join(toolboxDir, 'pty.node'), '')
  const run: RunCommand = async (command, options) =>
    command[1]?.endsWith('pty.node')
      ? { code: 0, stdout: '\tlibutil.so.1 => not found', stderr: '' }
      : runCommand(command, options)
  await expect(prepare(run)).rejects.toThrow('pty.node needs libutil.so.1')
})

it('is named by its content', async () => {
  const first = await prepare()
  expect((await prepare()).folder).toBe(first.folder)
  await writeFile(join(toolboxDir, 'main.js'), 'export default 1')
  expect((await prepare()).folder).not.toBe(first.folder)
})

it('names what is missing', async () => {
  await expect(prepare(lddSays('\tlibnode.so.115 => not found'))).rejects.toThrow('needs libnode.so.115')
  await expect(prepare(lddSays('\t/lib64/ld-linux-x86-64.so.2 (0x0)'))).rejects.toThrow(
    'tini-static is not statically linked, so it cannot run in every image; reinstall the package tini',
  )
  await writeFile(join(toolboxDir, 'node-flags.json'), '["rm -rf"]')
  await expect(prepare()).rejects.toThrow('node-flags.json is not a list of Node options')
  await rm(join(toolboxDir, 'main.js'))
  await expect(prepare()).rejects.toThrow('no toolbox bundle')
})
