import { describe, expect, it } from 'vitest'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { createPtyViewers, MAX_BEHIND_BYTES } from './pty-viewers.ts'

const WISHES = { exitControl: false, sizeControl: false }

/** A socket whose client keeps up as long as `reads` is true. */
function fakeSocket() {
  const state = { reads: true, closed: undefined as number | undefined }
  const socket: ChannelSocket = {
    listen() {},
    send: () => state.reads,
    pause() {},
    resume() {},
    close(code) {
      state.closed = code
    },
    open: true,
  }
  return { state, socket }
}

function setUp() {
  const paces: boolean[] = []
  const viewers = createPtyViewers((wait) => paces.push(wait))
  const join = () => {
    const { state, socket } = fakeSocket()
    return { state, viewer: viewers.add(socket, WISHES) }
  }
  return { paces, viewers, join }
}

describe('viewers', () => {
  it('have the terminal wait for the only one', () => {
    const { paces, viewers, join } = setUp()
    const { state, viewer } = join()
    viewers.sendToAll(Buffer.alloc(1))
    expect(paces).toEqual([])
    state.reads = false
    viewers.sendToAll(Buffer.alloc(1))
    viewers.sendToAll(Buffer.alloc(1))
    expect(paces).toEqual([true])
    viewers.drained(viewer)
    expect(paces).toEqual([true, false])
  })

  it('have it wait for the fastest, until that one has gone', () => {
    const { paces, viewers, join } = setUp()
    const [slow, fast] = [join(), join()]
    slow.state.reads = false
    viewers.sendToAll(Buffer.alloc(1))
    expect(paces).toEqual([])
    viewers.remove(fast.viewer)
    expect(paces).toEqual([true])
    join()
    expect(paces).toEqual([true, false])
  })

  it('do not have it wait when none is left', () => {
    const { paces, viewers, join } = setUp()
    const { state, viewer } = join()
    state.reads = false
    viewers.sendToAll(Buffer.alloc(1))
    viewers.remove(viewer)
    expect(paces).toEqual([true, false])
  })

  it('lose the one that falls too far behind', () => {
    const { viewers, join } = setUp()
    const [slow, fast] = [join(), join()]
    slow.state.reads = false
    viewers.sendToAll(Buffer.alloc(MAX_BEHIND_BYTES))
    expect(slow.state.closed).toBeUndefined()
    viewers.sendToAll(Buffer.alloc(1))
    expect(slow.state.closed).toBe(1008)
    expect(fast.state.closed).toBeUndefined()
    expect(viewers.size).toBe(1)
  })
})
