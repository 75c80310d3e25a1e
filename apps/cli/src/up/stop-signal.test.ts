import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { listenForStop, SAME_WISH_MS } from './stop-signal.ts'

describe('listenForStop', () => {
  it('takes signals close together for one, and a later one for a second', () => {
    const source = new EventEmitter()
    let now = 0
    const { stop, force, dispose } = listenForStop(source, () => now)
    source.emit('SIGINT')
    expect(stop.aborted).toBe(true)
    source.emit('SIGINT')
    now += SAME_WISH_MS
    source.emit('SIGTERM')
    expect(force.aborted).toBe(false)
    now += 1
    source.emit('SIGINT')
    expect(force.aborted).toBe(true)
    dispose()
    expect(source.eventNames()).toEqual([])
  })

  it('stops when whoever started it is gone', () => {
    const source = new EventEmitter()
    const { stop } = listenForStop(source)
    source.emit('disconnect')
    expect(stop.aborted).toBe(true)
  })
})
