import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { findLoginShell } from './login-shell.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-shell-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('takes the shell that SHELL names, if it can be run', async () => {
  const shell = join(folder, 'fish')
  const other = await findLoginShell({})
  expect(await findLoginShell({ SHELL: shell })).toBe(other)
  await writeFile(shell, '')
  expect(await findLoginShell({ SHELL: shell })).toBe(other)
  await chmod(shell, 0o755)
  expect(await findLoginShell({ SHELL: shell })).toBe(shell)
})

it('takes an absolute one', async () => {
  expect(await findLoginShell({ SHELL: 'sh' })).toMatch(/^\/.*sh$/)
  expect(await findLoginShell({ SHELL: '' })).toMatch(/^\/.*sh$/)
})
