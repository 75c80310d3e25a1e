import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMarker, FRAME_BYTES, LINEWISE_BYTES } from './marked-frames.ts'
import type { OutputStream } from './output-log.ts'

const MARKS = { stdout: '\u0001\u0001\u0001', stderr: '\u0002\u0002\u0002' }

/** Separates marked bytes as a client does: a mark sets the stream until the next mark. */
function separate(text: string): { stdout: string; stderr: string } {
  const streams = { stdout: '', stderr: '' }
  for (const afterOut of text.split(MARKS.stdout)) {
    const [out = '', ...afterErr] = afterOut.split(MARKS.stderr)
    streams.stdout += out
    streams.stderr += afterErr.join('')
  }
  return streams
}

describe('marks', () => {
  it('stand before each line, and where a line goes on after the other stream', () => {
    const marker = createMarker()
    const mark = (stream: OutputStream, text: string) =>
      Buffer.concat(marker([{ stream, bytes: Buffer.from(text) }])).toString()
    expect(mark('stdout', 'a\nb')).toBe(`${MARKS.stdout}a\n${MARKS.stdout}b`)
    expect(mark('stdout', 'c\n')).toBe('c\n')
    expect(mark('stdout', 'd')).toBe(`${MARKS.stdout}d`)
    expect(mark('stderr', '\n\n')).toBe(`${MARKS.stderr}\n${MARKS.stderr}\n`)
    expect(mark('stdout', 'e')).toBe(`${MARKS.stdout}e`)
  })

  it('stand once a frame in bulk, and before lines again after it', () => {
    const marker = createMarker()
    const frames = marker([{ stream: 'stdout', bytes: Buffer.from('line\n'.repeat(20_000)) }])
    for (const frame of frames.slice(0, -1)) expect(frame.length).toBe(FRAME_BYTES)
    expect(frames.map((frame) => frame.toString('latin1').split(MARKS.stdout).length)).toEqual(frames.map(() => 2))
    expect(Buffer.concat(marker([{ stream: 'stdout', bytes: Buffer.from('a\nb') }])).toString()).toBe(
      `${MARKS.stdout}a\n${MARKS.stdout}b`,
    )
    expect(LINEWISE_BYTES).toBeLessThan(FRAME_BYTES)
  })

  it('do not end a frame, which SDK 0.218 would take for output', () => {
    for (let length = FRAME_BYTES - 16; length <= FRAME_BYTES; length += 1) {
      const first = { stream: 'stdout', bytes: Buffer.alloc(length, 'x') } as const
      const frames = createMarker()([first, { stream: 'stderr', bytes: Buffer.from('y\n') }])
      for (const frame of frames) expect(frame.at(-1)).toBeGreaterThan(2)
      expect(separate(Buffer.concat(frames).toString('latin1')).stderr).toBe('y\n')
    }
  })

  it('let a client tell the streams apart, whatever the pieces and lines', () => {
    const piece = fc.record({
      stream: fc.constantFrom<OutputStream>('stdout', 'stderr'),
      text: fc.oneof(fc.stringMatching(/^[a-z\n]{0,60}$/), fc.constantFrom('x'.repeat(50_000), 'y\n'.repeat(30_000))),
    })
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 5 }), { maxLength: 5 }), (calls) => {
        const marker = createMarker()
        const frames = calls.flatMap((pieces) =>
          marker(pieces.map(({ stream, text }) => ({ stream, bytes: Buffer.from(text) }))),
        )
        for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(FRAME_BYTES)
        const of = (wanted: OutputStream) =>
          calls
            .flat()
            .map(({ stream, text }) => (stream === wanted ? text : ''))
            .join('')
        expect(separate(Buffer.concat(frames).toString('latin1'))).toEqual({
          stdout: of('stdout'),
          stderr: of('stderr'),
        })
      }),
    )
  })
})
