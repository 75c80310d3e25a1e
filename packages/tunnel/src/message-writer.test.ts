import { describe, expect, it } from 'vitest'
import { frameTypes } from './frame.ts'
import { MessageWriter } from './message-writer.ts'
import type { Link, LinkMessage } from './types.ts'

const PING = { type: frameTypes.ping, exchangeId: 0 }
const DATA = { type: frameTypes.data, exchangeId: 1 }

/** Makes a link that keeps its messages until the test reports them as sent. */
function holdingLink() {
  const held: (LinkMessage & { sent: () => void })[] = []
  const link: Partial<Link> = {
    headroomBytes: 8,
    send: (message, sent) => {
      held.push({ ...message, sent })
    },
  }
  return { held, writer: new MessageWriter(link as Link, 16 * 1024) }
}

describe('the memory of a link', () => {
  it('is one small slab while it only pings, however often it is let go of', () => {
    const { held, writer } = holdingLink()
    for (let round = 0; round < 1_000; round++) {
      writer.writeBytes(PING, Buffer.alloc(8))
      writer.flush()
      held.at(-1)?.sent()
      writer.release()
    }
    expect(new Set(held.map(({ slab }) => slab)).size).toBe(1)
    expect(held[0]?.slab.length).toBeLessThanOrEqual(4096)
  })

  it('stays small with one call at a time, and grows with what is under way', () => {
    const { held, writer } = holdingLink()
    const write = () => {
      writer.writeBytes(DATA, Buffer.alloc(1000))
      writer.flush()
    }
    for (let call = 0; call < 100; call++) {
      write()
      held.at(-1)?.sent()
    }
    expect(new Set(held.map(({ slab }) => slab)).size).toBe(1)
    for (let call = 0; call < 100; call++) write()
    expect(held.at(-1)?.slab.length).toBeGreaterThan(4096)
  })

  it('is not written over before it has left', () => {
    const { held, writer } = holdingLink()
    for (let byte = 0; byte < 200; byte++) {
      writer.writeBytes(DATA, Buffer.alloc(1000, byte))
      writer.flush()
      writer.release()
      if (byte % 3 === 0) held[byte]?.sent()
    }
    for (const [byte, { slab, end }] of held.entries()) {
      if (byte % 3 !== 0) expect(slab[end - 1]).toBe(byte)
    }
  })
})
