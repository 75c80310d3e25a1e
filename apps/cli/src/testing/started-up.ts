import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOCK_FILE_NAME } from '../up/data-folder-lock.ts'

/** The deadline of `printed`: far longer than a start, and shorter than the tests' own, whose error lacks the output. */
const PRINT_DEADLINE_MS = 120_000

export interface StartedUp {
  readonly child: ChildProcess
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>
  output(): string
  /** Resolves when the output holds the words; rejects if the process ends before. */
  printed(words: string): Promise<void>
  /** Returns the process number of a program that it supervises. */
  pidOf(name: string): number
  events(): string[]
}

/** Runs the bundled up-with-stand-ins; `env` holds the data folder. */
export function startUp(bundle: string, env: Record<string, string>): StartedUp {
  const child = spawn(process.execPath, [bundle, import.meta.dirname], {
    env: { ...process.env, ATOLL_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      child.emit('printed')
    })
  }
  const dataDir = env['ATOLL_DATA_DIR'] ?? ''
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  return {
    child,
    ended,
    output: () => text,
    async printed(words) {
      const over = ended.then(() => true)
      const signal = AbortSignal.timeout(PRINT_DEADLINE_MS)
      const isLate = once(signal, 'abort').then(() => true)
      while (!text.includes(words)) {
        const isOver = await Promise.race([once(child, 'printed').then(() => false), over, isLate])
        if (isOver && !text.includes(words)) {
          throw new Error(`${signal.aborted ? 'too late' : 'ended'} without printing ${words}:\n${text}`)
        }
      }
    },
    pidOf(name) {
      const lock = JSON.parse(readFileSync(join(dataDir, LOCK_FILE_NAME), 'utf8')) as {
        children: Record<string, { pid: number }>
      }
      const pid = lock.children[name]?.pid
      if (pid === undefined) throw new Error(`${name} does not run`)
      return pid
    },
    events: () => readFileSync(join(dataDir, 'events'), 'utf8').trim().split('\n'),
  }
}
