import type { PtySessionInfo } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CONNECTED_MESSAGE, refuseViewer, sayGoodbye, sizeMessage } from './pty-messages.ts'
import type { PtyViewers, Viewer, ViewerWishes } from './pty-viewers.ts'
import { createPtyViewers } from './pty-viewers.ts'
import type { Terminal, TerminalExit, TerminalOptions } from './terminal.ts'
import type { TerminalRecorder, TerminalSize } from './terminal-recorder.ts'
import { createTerminalRecorder } from './terminal-recorder.ts'

/** Clients that may be attached to one terminal. */
export const MAX_VIEWERS = 32
/** Output kept of a shell that has ended, in bytes. */
const ENDED_REPLAY_BYTES = 64 * 1024

export type StartTerminal = (
  callbacks: Pick<TerminalOptions, 'size' | 'onOutput' | 'onExit' | 'onInputDrain' | 'onInputStall'>,
) => Terminal

export interface PtySessionOptions {
  id: string
  /** An absolute path. */
  cwd: string
  /** Variables that the client has added to the environment. */
  envs: Readonly<Record<string, string>>
  size: TerminalSize
  lazyStart: boolean
  startTerminal: StartTerminal
  onEnd(): void
}

/** A terminal, from its creation to some time after its shell's end, and the clients attached to it. */
export interface PtySession {
  readonly ended: boolean
  describe(): PtySessionInfo
  /** Starts the shell if it has not been started. Throws SERVICE_UNAVAILABLE when the system gives no terminal. */
  start(): void
  /** Resizes the terminal. Throws SESSION_ENDED. */
  resize(size: TerminalSize): void
  /** Attaches an open socket, and closes it at the end. */
  attach(socket: ChannelSocket, wishes: ViewerWishes): void
  /** Ends all processes in the terminal and tells its viewers. */
  kill(): Promise<void>
}

interface PtyState {
  readonly recorder: TerminalRecorder
  readonly viewers: PtyViewers
  size: TerminalSize
  /** Absent before the start. */
  terminal?: Terminal
  exit?: TerminalExit
}

export function createPtySession(options: PtySessionOptions): PtySession {
  const { id, cwd, envs, lazyStart, onEnd } = options
  const createdAt = new Date().toISOString()
  const state: PtyState = {
    recorder: createTerminalRecorder(options.size),
    viewers: createPtyViewers((wait) => (wait ? state.terminal?.pause() : state.terminal?.resume())),
    size: options.size,
  }

  function start(): void {
    if (state.terminal !== undefined || state.exit !== undefined) return
    state.terminal = options.startTerminal({
      size: state.size,
      onOutput(batch) {
        state.recorder.take(batch)
        state.viewers.sendToAll(batch)
      },
      onExit(exit) {
        end(state, exit)
        onEnd()
      },
      onInputDrain: () => state.viewers.each(({ socket }) => socket.resume()),
      onInputStall: () => state.viewers.dropAll('the program does not read its input'),
    })
  }

  return {
    get ended() {
      return state.exit !== undefined
    },
    describe() {
      const active = state.terminal !== undefined && state.exit === undefined
      const ended = state.exit === undefined ? {} : { exitCode: state.exit.exitCode }
      return { id, cwd, envs: { ...envs }, ...state.size, createdAt, active, lazyStart, ...ended }
    },
    start,
    resize(size) {
      if (state.exit !== undefined) {
        throw new AppError('SESSION_ENDED', `the shell of terminal ${JSON.stringify(id)} has ended`)
      }
      resize(state, size)
    },
    attach: (socket, wishes) => attach(state, { socket, wishes }),
    async kill() {
      if (state.exit !== undefined) return
      if (state.terminal !== undefined) return state.terminal.kill()
      end(state, { exitCode: 0 })
      onEnd()
    },
  }
}

function end(state: PtyState, exit: TerminalExit): void {
  const { recorder, viewers } = state
  state.exit = exit
  recorder.shrink(ENDED_REPLAY_BYTES)
  viewers.each((viewer) => {
    viewers.remove(viewer)
    // A paused socket would not complete the close.
    viewer.socket.resume()
    sayGoodbye(viewer, exit)
  })
}

function resize(state: PtyState, size: TerminalSize): void {
  const { recorder, terminal, viewers } = state
  state.size = size
  recorder.resize(size)
  terminal?.resize(size)
  viewers.each((viewer) => {
    if (viewer.wishes.sizeControl) viewers.send(viewer, sizeMessage(size))
  })
}

function attach(state: PtyState, { socket, wishes }: { socket: ChannelSocket; wishes: ViewerWishes }): void {
  const { viewers, terminal, exit } = state
  if (viewers.size >= MAX_VIEWERS) {
    refuseViewer(socket, `${MAX_VIEWERS} clients are connected already`)
    return
  }
  const viewer = viewers.add(socket, wishes)
  socket.listen({
    onMessage: (bytes) => type(state, { viewer, bytes }),
    onDrain: () => viewers.drained(viewer),
    onClose: () => viewers.remove(viewer),
  })
  viewers.send(viewer, CONNECTED_MESSAGE)
  replay(state, viewer)
  if (exit !== undefined) {
    viewers.remove(viewer)
    sayGoodbye(viewer, exit)
  } else if (terminal?.input.full) {
    socket.pause()
  }
}

function replay({ recorder, viewers, terminal }: PtyState, viewer: Viewer): void {
  const parts = recorder.replay()
  for (const { data, cols, rows } of parts) {
    if (viewer.wishes.sizeControl) viewers.send(viewer, sizeMessage({ cols, rows }))
    if (data.length > 0) viewers.send(viewer, data)
  }
  // A program that draws on the whole screen may have drawn the kept output for another size, or before its beginning.
  if (parts.some(({ data }) => data.length > 0)) terminal?.redraw()
}

function type({ terminal, exit, viewers }: PtyState, { viewer, bytes }: { viewer: Viewer; bytes: Buffer }): void {
  if (terminal === undefined || exit !== undefined) return
  if (!terminal.input.write(bytes)) viewers.drop(viewer, 'sends faster than the program reads')
  if (terminal.input.full) viewers.each(({ socket }) => socket.pause())
}
