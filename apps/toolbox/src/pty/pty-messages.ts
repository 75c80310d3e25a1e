import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_ERROR, CLOSE_NORMAL, CLOSE_POLICY } from '../channels/channel-socket.ts'
import type { Viewer } from './pty-viewers.ts'
import type { TerminalExit } from './terminal.ts'
import type { TerminalSize } from './terminal-recorder.ts'

/** The longest error in the reason of a close, in characters: the whole reason, with its JSON, holds 123 bytes. */
const MAX_REASON_LENGTH = 80

export const CONNECTED_MESSAGE = controlMessage({ status: 'connected' })

export function sizeMessage({ cols, rows }: TerminalSize): string {
  return controlMessage({ status: 'size', cols, rows })
}

/** Tells a client in its first message why there is no terminal for it, and closes. */
export function refuseViewer(socket: ChannelSocket, error: string): void {
  socket.send(controlMessage({ status: 'error', error }))
  socket.close(CLOSE_POLICY, JSON.stringify({ error: error.slice(0, MAX_REASON_LENGTH) }))
}

/** Tells a client how the shell ended, and closes. */
export function sayGoodbye({ socket, wishes }: Viewer, exit: TerminalExit): void {
  if (wishes.exitControl) socket.send(controlMessage({ status: 'exited', ...exit }))
  socket.close(exit.exitCode === 0 ? CLOSE_NORMAL : CLOSE_ERROR, JSON.stringify(exit))
}

function controlMessage(fields: Record<string, unknown>): string {
  return JSON.stringify({ type: 'control', ...fields })
}
