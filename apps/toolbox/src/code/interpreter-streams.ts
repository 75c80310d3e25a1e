import type { Readable } from 'node:stream'
import type { InterpreterEvent } from './event-lines.ts'
import { createEventLines } from './event-lines.ts'
import type { OutputSource } from './marked-output.ts'
import { createMarkedOutput } from './marked-output.ts'

/** The most turns of the event loop in which the output of an ended interpreter is read. */
const MAX_DRAIN_TURNS = 32

export interface ExecutionListener {
  onText(stream: 'stdout' | 'stderr', text: string): void
  /** Called after all text that was printed before the event. */
  onEvent(event: InterpreterEvent): void
}

/** The output and events of an interpreter, in the order in which it wrote them. */
export interface InterpreterStreams {
  /** Sets the listener; without one everything is dropped. */
  listen(listener: ExecutionListener | undefined): void
  /** Sets the mark that the interpreter writes to both outputs before each event from now on. */
  expect(mark: Buffer): void
  pause(): void
  resume(): void
  /** Resolves when all output of an ended interpreter was read, or after the most turns. */
  drain(): Promise<void>
  close(): void
}

export function createInterpreterStreams(options: {
  outputs: readonly [OutputSource, OutputSource]
  events: Readable
  /** Called at the event that ends an execution. */
  onDone(): void
  /** Called for bytes that are not an event: the interpreter cannot be used any more. */
  onFault(): void
}): InterpreterStreams {
  const { outputs, events, onDone, onFault } = options
  let listener: ExecutionListener | undefined
  let pending: InterpreterEvent | undefined
  let marks = 0

  /** Passes an event on when both outputs have been read as far as its mark. */
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
  // An error ends a stream as its end does.
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
