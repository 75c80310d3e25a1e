import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { createIdleWatch } from './idle-watch.ts'

/** Creates a socket whose byte count the test sets. */
function countedSocket(): Socket {
  return Object.defineProperty(new Socket(), 'bytesWritten', { value: 0, writable: true })
}

test('a connection is cut once nothing moved on it for its limit, and not before', () => {
  let at = 0
  using watch = createIdleWatch({ now: () => at })
  const [busy, idle, left] = [countedSocket(), countedSocket(), countedSocket()] as const
  let moves = 0
  const onMoved = () => {
    moves += 1
  }
  watch.add({ socket: busy, limitMs: 100, onMoved })
  watch.add({ socket: idle, limitMs: 100, onMoved })
  watch.add({ socket: left, limitMs: 100, onMoved })()
  at = 60
  Object.assign(busy, { bytesWritten: 1 })
  watch.sweep()
  at = 120
  watch.sweep()
  expect([busy.destroyed, idle.destroyed, left.destroyed, moves]).toEqual([false, true, false, 1])
  at = 160
  watch.sweep()
  expect(busy.destroyed).toBe(true)
})
