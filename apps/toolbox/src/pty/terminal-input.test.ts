import { describe, expect, it } from 'vitest'
import { createTerminalInput, INPUT_HIGH_BYTES, INPUT_LOW_BYTES, MAX_INPUT_BYTES } from './terminal-input.ts'

/** A program that takes as many bytes as it is allowed to. */
function program(stallMs?: number) {
  let allowed = 0
  let taken = 0
  let wake = () => {}
  let stalled = false
  const events: string[] = []
  const input = createTerminalInput({
    write(bytes) {
      const count = Math.min(bytes.length, allowed)
      allowed -= count
      taken += count
      return count
    },
    onDrain() {
      events.push('drain')
      wake()
    },
    onStall() {
      stalled = true
      wake()
    },
    ...(stallMs === undefined ? {} : { stallMs }),
  })
  return {
    input,
    events,
    allow: (bytes: number) => {
      allowed += bytes
    },
    get taken() {
      return taken
    },
    get stalled() {
      return stalled
    },
    next: () =>
      new Promise<void>((resolve) => {
        wake = resolve
      }),
  }
}

describe('terminal input', () => {
  it('is written at once to a program that reads', () => {
    const reader = program()
    reader.allow(10)
    expect(reader.input.write(Buffer.from('typed'))).toBe(true)
    expect(reader.taken).toBe(5)
    reader.input.close()
  })

  it('waits for a program that does not read, and tells when there is room again', async () => {
    const reader = program()
    reader.input.write(Buffer.alloc(INPUT_HIGH_BYTES))
    expect(reader.input.full).toBe(false)
    reader.input.write(Buffer.alloc(1))
    expect(reader.input.full).toBe(true)
    const drained = reader.next()
    reader.allow(INPUT_HIGH_BYTES + 1 - INPUT_LOW_BYTES)
    await drained
    expect(reader.events).toEqual(['drain'])
    expect(reader.input.full).toBe(false)
    reader.input.close()
  })

  it('is refused when there is too much of it', () => {
    const reader = program()
    expect(reader.input.write(Buffer.alloc(MAX_INPUT_BYTES))).toBe(true)
    expect(reader.input.write(Buffer.alloc(1))).toBe(false)
    reader.input.close()
    expect(reader.input.write(Buffer.alloc(1))).toBe(true)
  })

  it('is thrown away when the program takes none of it for too long', async () => {
    const reader = program(20)
    reader.input.write(Buffer.alloc(INPUT_HIGH_BYTES + 1))
    await reader.next()
    expect(reader.stalled).toBe(true)
    expect(reader.input.full).toBe(false)
    reader.allow(100)
    reader.input.write(Buffer.alloc(7))
    expect(reader.taken).toBe(7)
  })
})
