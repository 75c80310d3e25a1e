import { describe, expect, it } from 'vitest'
import { allOver, createConcurrencyLimit, createKeyedQueue } from './concurrency.ts'

function gate() {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

describe('createKeyedQueue', () => {
  it('keeps the order of one key and lets others pass', async () => {
    const queue = createKeyedQueue()
    const { opened, open } = gate()
    const seen: string[] = []
    const first = queue.run('a', async () => {
      await opened
      seen.push('a1')
    })
    const second = queue.run('a', async () => seen.push('a2'))
    await queue.run('b', async () => seen.push('b'))
    open()
    await Promise.all([first, second])
    expect(seen).toEqual(['b', 'a1', 'a2'])
  })

  it('goes on after a failure, which only its own caller sees', async () => {
    const queue = createKeyedQueue()
    const failing = queue.run('a', async () => {
      throw new Error('one')
    })
    const following = queue.run('a', async () => 'two')
    await expect(failing).rejects.toThrow('one')
    expect(await following).toBe('two')
  })
})

describe('createConcurrencyLimit', () => {
  it('runs no more at once than it may, and all in the end', async () => {
    const limit = createConcurrencyLimit(2)
    let running = 0
    let most = 0
    const gates = Array.from({ length: 5 }, gate)
    const work = gates.map(({ opened }, index) =>
      limit(async () => {
        running += 1
        most = Math.max(most, running)
        await opened
        running -= 1
        if (index === 1) throw new Error('one of them fails')
      }),
    )
    for (const { open } of gates) open()
    const results = await Promise.allSettled(work)
    expect(most).toBe(2)
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ])
  })
})

describe('allOver', () => {
  it('answers what they answer', async () => {
    expect(await allOver(Promise.resolve(1), Promise.resolve('two'))).toEqual([1, 'two'])
  })

  it('fails with the first that failed, once the others are over', async () => {
    const { opened, open } = gate()
    const seen: string[] = []
    const slow = opened.then(() => seen.push('slow is over'))
    const all = allOver(Promise.reject(new Error('no')), slow).catch((error: Error) => seen.push(error.message))
    await Promise.resolve()
    open()
    await all
    expect(seen).toEqual(['slow is over', 'no'])
  })
})
