import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FolderInUseError, lockFolder } from './folder-lock.ts'
import { identifyProcess } from './process-identity.ts'

const LOCK_FILE_NAME = 'test.lock'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-lock-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const me = () => identifyProcess(process.pid) ?? { pid: 0, start: '' }

describe('lockFolder', () => {
  it('refuses a second holder, naming the folder, until the first lets go', () => {
    const lock = lockFolder(folder, LOCK_FILE_NAME)
    expect(() => lockFolder(folder, LOCK_FILE_NAME)).toThrow(FolderInUseError)
    expect(() => lockFolder(folder, LOCK_FILE_NAME)).toThrow(folder)
    lock.release()
    lockFolder(folder, LOCK_FILE_NAME).release()
    expect(readdirSync(folder)).toEqual([])
  })

  it('leaves a later holder’s lock alone when the earlier one lets go once more', () => {
    const earlier = lockFolder(folder, LOCK_FILE_NAME)
    earlier.release()
    const later = lockFolder(folder, LOCK_FILE_NAME)
    earlier.release()
    expect(() => lockFolder(folder, LOCK_FILE_NAME)).toThrow(FolderInUseError)
    later.release()
  })

  it('takes over from a process that is gone, whose number a later one may have', () => {
    leaveLock({ holder: { ...me(), start: 'another boot:1' }, children: {} })
    lockFolder(folder, LOCK_FILE_NAME).release()
    expect(existsSync(join(folder, LOCK_FILE_NAME))).toBe(false)
  })

  it('reports what a killed holder started and what still lives', async () => {
    const child = spawn('sleep', ['60'])
    await once(child, 'spawn')
    const living = identifyProcess(child.pid ?? 0)
    leaveLock({ holder: { ...me(), start: 'gone' }, children: { api: living, runner: { pid: 1, start: 'gone' } } })
    expect(lockFolder(folder, LOCK_FILE_NAME).orphans).toEqual([living])
    child.kill()
    await once(child, 'exit')
  })

  it.each(['', '{', 'null', '{"holder":{"pid":"1"}}', '{"holder":{"pid":1,"start":"x"},"children":{"a":1}}'])(
    'takes over from a lock that says %j',
    (text) => {
      writeFileSync(join(folder, LOCK_FILE_NAME), text)
      expect(lockFolder(folder, LOCK_FILE_NAME).orphans).toEqual([])
    },
  )

  it('notes its children for the next holder', () => {
    const lock = lockFolder(folder, LOCK_FILE_NAME)
    lock.setChildren({ api: me() })
    expect(readdirSync(folder)).toEqual([LOCK_FILE_NAME])
  })
})

function leaveLock(record: unknown): void {
  writeFileSync(join(folder, LOCK_FILE_NAME), JSON.stringify(record))
}
