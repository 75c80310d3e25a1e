import type { Readable } from 'node:stream'
import type { InterpreterEvent } from './event-lines.ts'
import { createEventLines } from './event-lines.ts'
import type { OutputSource } from './marked-output.ts'
import { createMarkedOutput } from './marked-output.ts'

/** Turns of the event loop in which what an ended interpreter has written is read. */
const MAX_DRAIN_TURNS = 32

export interface ExecutionListener {
  onText(stream: 'stdout' | 'stderr', text: string): void
  /** Comes after all that was printed before it. */
  onEvent(event: InterpreterEvent): void
}

/** What comes from an interpreter, in the order in which it happened there. */
export interface InterpreterStreams {
  /** Who is told; without one all is dropped. */
  listen(listener: ExecutionListener | undefined): void
  /** What the interpreter writes to both outputs before each event from now on. */
  expect(mark: Buffer): void
  pause(): void
  resume(): void
  /** Resolves when an interpreter that has ended has nothing more to be read, or nobody to read it. */
  drain(): Promise<void>
  close(): void
}

export function createInterpreterStreams(options: {
  outputs: readonly [OutputSource, OutputSource]
  events: Readable
  /** The event that ends an execution. */
  onDone(): void
  /** What came is no event: the interpreter cannot be talked to any more. */
  onFault(): void
}): InterpreterStreams {
  const { outputs, events, onDone, onFault } = options
  let listener: ExecutionListener | undefined
  let pending: InterpreterEvent | undefined
  let marks = 0

  /** An event's turn comes when both outputs are where they were when it happened. */
  function meet(): void {
    if (pending === undefined || marks < outputs.length) return
    const event = pending
    pending = undefined
    marks = 0
    if (event.type === 'done') onDone()
    else listener?.onEvent(event)
    for (const one of [...marked, lines]) one.pass()
  }

  const marked = outputs.map((source, index) =>
    createMarkedOutput({
      source,
      onText: (text) => listener?.onText(index === 0 ? 'stdout' : 'stderr', text),
      onMark() {
        marks += 1
        meet()
      },
    }),
  )
  const lines = createEventLines({
    source: events,
    onEvent(event) {
      pending = event
      meet()
    },
    onFault,
  })
  // An error ends a stream like its end does.
  for (const stream of [...outputs.map((output) => output.stream), events]) stream.on('error', () => {})

  return {
    listen(given) {
      listener = given
    },
    expect(mark) {
      for (const one of marked) one.expect(mark)
    },
    pause() {
      for (const one of marked) one.pause()
    },
    resume() {
      for (const one of marked) one.resume()
    },
    async drain() {
      for (const one of marked) one.pass()
      const arrivals = () => marked.reduce((sum, one) => sum + one.arrivals, 0)
      for (let turn = 0, before = -1; turn < MAX_DRAIN_TURNS && arrivals() !== before; turn += 1) {
        before = arrivals()
        await new Promise((resolve) => setImmediate(resolve))
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    close() {
      for (const stream of [...outputs.map((output) => output.stream), events]) stream.destroy()
    },
  }
}
