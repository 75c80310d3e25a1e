import type { FileChange, WatchMessage } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ChangeQueue } from './change-queue.ts'
import { createChangeQueue, MAX_BATCH_CHANGES, MAX_QUEUED_CHANGES } from './change-queue.ts'

const BATCH_MS = 50
const messages: WatchMessage[] = []
let takes = true
let queue: ChangeQueue
beforeEach(() => {
  vi.useFakeTimers()
  messages.length = 0
  takes = true
  queue = createChangeQueue({
    root: '/root',
    send(message) {
      messages.push(message)
      return takes
    },
  })
})
afterEach(() => {
  queue[Symbol.dispose]()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

const file = (type: FileChange['type'], path: string) => queue.add({ type, path, isDir: false })
const folder = (type: FileChange['type'], path: string) => queue.add({ type, path, isDir: true })
function told() {
  vi.advanceTimersByTime(BATCH_MS)
  return messages.splice(0).flatMap((message) => {
    return message.type === 'changes' ? message.changes.map(({ type, path }) => `${type} ${path}`) : [message.type]
  })
}

describe('a change queue', () => {
  it('puts changes of one file together', () => {
    for (const type of ['created', 'changed', 'changed'] as const) file(type, 'new')
    for (const type of ['deleted', 'created'] as const) file(type, 'replaced')
    for (const type of ['changed', 'deleted'] as const) file(type, 'gone')
    for (const type of ['created', 'deleted'] as const) file(type, 'brief')
    expect(messages).toEqual([])
    expect(told()).toEqual(['created new', 'changed replaced', 'deleted gone'])
    expect(told()).toEqual([])
  })

  it('keeps the order around folders, whose files may be others afterwards', () => {
    file('changed', 'a/f')
    folder('deleted', 'a')
    folder('created', 'a')
    file('created', 'a/f')
    expect(told()).toEqual(['changed a/f', 'deleted a', 'created a', 'created a/f'])
  })

  it('sends messages of a bounded size', () => {
    for (let count = 0; count <= MAX_BATCH_CHANGES; count += 1) file('created', String(count))
    vi.advanceTimersByTime(BATCH_MS)
    expect(messages.map((message) => message.type === 'changes' && message.changes.length)).toEqual([1000, 1])
  })

  it('has the client list anew, once, when there is too much', () => {
    for (let count = 0; count <= 2 * MAX_QUEUED_CHANGES; count += 1) file('created', String(count))
    expect(told()).toEqual(['rescan'])
    file('created', 'later')
    expect(told()).toEqual(['created later'])
  })

  it('waits for a client that does not read', () => {
    takes = false
    file('created', 'first')
    expect(told()).toEqual(['created first'])
    file('created', 'second')
    expect(told()).toEqual([])
    for (let count = 0; count <= MAX_QUEUED_CHANGES; count += 1) file('created', String(count))
    file('created', 'third')
    expect(told()).toEqual([])
    takes = true
    queue.resume()
    expect(told()).toEqual(['rescan'])
  })
})
