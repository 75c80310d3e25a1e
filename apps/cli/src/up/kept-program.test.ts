import { describe, expect, it } from 'vitest'
import type { RestartPolicy } from './kept-program.ts'
import { keepRunning } from './kept-program.ts'
import type { RunningProgram } from './program.ts'

const policy: RestartPolicy = { minDelayMs: 0, maxDelayMs: 0, steadyAfterMs: 1_000, maxDeaths: 2 }

/** Makes programs that are ready at once and end when the test says so. */
function fakePrograms() {
  const made: { end: (how: string) => void; signals: string[] }[] = []
  const waiting: (() => void)[] = []
  return {
    made,
    start(): RunningProgram {
      let end: (how: string) => void = () => undefined
      const ended = new Promise<string>((resolve) => {
        end = resolve
      })
      const signals: string[] = []
      made.push({ end, signals })
      for (const wake of waiting.splice(0)) wake()
      const signal = (name: string) => {
        signals.push(name)
        end(name)
      }
      return { identity: { pid: made.length, start: '' }, ready: Promise.resolve('url'), ended, signal }
    },
    async started(count: number) {
      while (made.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    },
  }
}

describe('keepRunning', () => {
  it('starts a program again until it died too often in a row', async () => {
    const programs = fakePrograms()
    const kept = keepRunning({ name: 'api', start: programs.start, onProcess: () => {}, warn: () => {}, policy })
    expect(await kept.ready).toBe('url')
    for (const count of [1, 2, 3]) {
      await programs.started(count)
      programs.made[count - 1]?.end('status 1')
    }
    expect(await kept.gaveUp).toBe('the api ended 3 times in a row (status 1): see its log')
    expect(programs.made).toHaveLength(3)
  })

  it('forgets the deaths before a steady run', async () => {
    const programs = fakePrograms()
    let now = 0
    const warnings: string[] = []
    const kept = keepRunning({
      name: 'api',
      start: programs.start,
      onProcess: () => {},
      warn: (text) => warnings.push(text),
      policy,
      now: () => now,
    })
    for (const count of [1, 2, 3, 4, 5]) {
      await programs.started(count)
      now += 2_000
      programs.made[count - 1]?.end('status 1')
    }
    await programs.started(6)
    await kept.stop(1_000)
    expect(warnings.filter((text) => text.includes('starting it again'))).toHaveLength(5)
  })

  it('does not start what was told to stop', async () => {
    const programs = fakePrograms()
    const kept = keepRunning({ name: 'api', start: programs.start, onProcess: () => {}, warn: () => {}, policy })
    await kept.ready
    await kept.stop(1_000)
    expect(programs.made.map((one) => one.signals)).toEqual([['SIGTERM']])
  })

  it('kills what does not end in time', async () => {
    const programs = fakePrograms()
    const signals: string[] = []
    const kept = keepRunning({
      name: 'api',
      start: () => {
        const running = programs.start()
        return {
          ...running,
          signal: (name) => {
            signals.push(name)
            if (name === 'SIGKILL') running.signal(name)
          },
        }
      },
      onProcess: () => {},
      warn: () => {},
      policy,
    })
    await kept.ready
    await kept.stop(1)
    expect(signals).toEqual(['SIGTERM', 'SIGKILL'])
  })
})
