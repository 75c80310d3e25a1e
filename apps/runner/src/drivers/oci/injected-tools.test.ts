import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../run-command.ts'
import { prepareInjectedTools } from './injected-tools.ts'

let folder: string
let toolsDir: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-tools-'))
  toolsDir = join(folder, 'built')
  await mkdir(join(toolsDir, 'bin'), { recursive: true, mode: 0o700 })
  await writeFile(join(toolsDir, 'hash'), '0123456789abcdef', { mode: 0o600 })
  await writeFile(join(toolsDir, 'bin/rg'), 'one', { mode: 0o700 })
})
afterEach(() => rm(folder, { recursive: true }))

const prepare = () => prepareInjectedTools({ folder, toolsDir, run: runCommand })

it('are copied once, for everybody to use and nobody to change', async () => {
  const tools = await prepare()
  expect(tools).toBe(join(folder, 'tools-0123456789abcdef'))
  expect((await stat(join(tools, 'bin/rg'))).mode & 0o777).toBe(0o755)
  expect((await stat(join(tools, 'hash'))).mode & 0o777).toBe(0o644)
  await writeFile(join(toolsDir, 'bin/rg'), 'two')
  expect(await prepare()).toBe(tools)
  expect(await readFile(join(tools, 'bin/rg'), 'utf8')).toBe('one')
})

it('leave nothing half done', async () => {
  const failing = prepareInjectedTools({
    folder,
    toolsDir,
    run: async (argv, options) => {
      if (argv[0] === 'chmod') throw new Error('no chmod')
      return runCommand(argv, options)
    },
  })
  await expect(failing).rejects.toThrow('no chmod')
  expect(await readdir(folder)).toEqual(['built'])
})

it('must be built', async () => {
  await writeFile(join(toolsDir, 'hash'), '../../etc')
  await expect(prepare()).rejects.toThrow('is damaged; build the tools again')
  await rm(join(toolsDir, 'hash'))
  await expect(prepare()).rejects.toThrow('build the tools first')
})
