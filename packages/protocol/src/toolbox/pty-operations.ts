import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineChannel, defineOperation } from '../operation.ts'
import { Empty } from './operation-parts.ts'

/** Most columns, and most rows, of a terminal. */
export const MAX_TERMINAL_SIDE = 1000
/** Longest name of a terminal, in characters. */
export const MAX_PTY_ID_LENGTH = 256

/** The subprotocol that a client offers to get a message about the end before the close. */
export const PTY_EXIT_CONTROL = 'X-Daytona-Pty-Exit-Control'
/** The prefix of the subprotocol that holds the environment of `create-connect`, as base64url of a JSON object. */
export const PTY_ENVS_PREFIX = 'X-Daytona-Pty-Envs~'
/** The subprotocol that a client offers to get the terminal's size at first and after each change. Atoll's own. */
export const PTY_SIZE_CONTROL = 'X-Atoll-Pty-Size-Control'

/** The size of a terminal whose client gives none. */
export const DEFAULT_COLS = 80
export const DEFAULT_ROWS = 24

const Id = Type.String({ minLength: 1, maxLength: MAX_PTY_ID_LENGTH })
const side = (description: string) => Type.Integer({ minimum: 1, maximum: MAX_TERMINAL_SIDE, description })
const Envs = Type.Record(Type.String(), Type.String())
const Cwd = Type.String({ description: 'Where it starts; the work directory without it' })
const PtyParams = Type.Object({ sessionId: Id })

export const PtyCreateRequest = Type.Object({
  id: Id,
  cwd: Type.Optional(Cwd),
  envs: Type.Optional(Envs),
  cols: Type.Optional(side(`Columns; ${DEFAULT_COLS} without it`)),
  rows: Type.Optional(side(`Rows; ${DEFAULT_ROWS} without it`)),
  lazyStart: Type.Optional(Type.Boolean({ description: 'Start the shell when the first client connects' })),
})
export type PtyCreateRequest = Static<typeof PtyCreateRequest>

export const PtySessionInfo = Type.Object(
  {
    id: Type.String(),
    cwd: Type.String({ description: 'Absolute' }),
    envs: Envs,
    cols: Type.Integer(),
    rows: Type.Integer(),
    createdAt: Type.String({ format: 'date-time' }),
    active: Type.Boolean({ description: 'Whether its shell runs' }),
    lazyStart: Type.Boolean(),
    exitCode: Type.Optional(Type.Integer({ description: 'Of a shell that has ended; 128 and the number of a signal' })),
  },
  { $id: 'PtySessionInfo' },
)
export type PtySessionInfo = Static<typeof PtySessionInfo>

/** Terminals. §20.4 of the contract. */
export const ptyOperations = {
  createPty: defineOperation({
    method: 'POST',
    path: '/process/pty',
    summary: 'Open a terminal with a login shell',
    query: Empty,
    bodyKind: 'json',
    body: PtyCreateRequest,
    status: 201,
    output: Type.Object({ sessionId: Type.String() }),
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'BAD_REQUEST', 'INVALID_FILE_PATH', 'CONFLICT', 'RATE_LIMITED'],
  }),
  listPtys: defineOperation({
    method: 'GET',
    path: '/process/pty',
    summary: 'List terminals, with those that ended a while ago',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ sessions: Type.Array(PtySessionInfo) }),
    errors: [],
  }),
  getPty: defineOperation({
    method: 'GET',
    path: '/process/pty/{sessionId}',
    summary: 'Describe a terminal',
    params: PtyParams,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: PtySessionInfo,
    errors: ['NOT_FOUND'],
  }),
  killPty: defineOperation({
    method: 'DELETE',
    path: '/process/pty/{sessionId}',
    summary: 'Kill everything in a terminal and forget it',
    params: PtyParams,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ message: Type.String() }),
    errors: ['NOT_FOUND'],
  }),
  resizePty: defineOperation({
    method: 'POST',
    path: '/process/pty/{sessionId}/resize',
    summary: 'Change the size of a terminal',
    params: PtyParams,
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ cols: side('Columns'), rows: side('Rows') }),
    status: 200,
    output: PtySessionInfo,
    errors: ['NOT_FOUND', 'SESSION_ENDED', 'VALIDATION_FAILED', 'INVALID_JSON'],
  }),
} as const

const ptyMessages = `
From the server, first a text message \`{"type":"control","status":"connected"}\`, then the output kept so far (about
1 MB) and all that follows, as binary messages that end between characters. Where the terminal is not to be had, the
first message is \`{"type":"control","status":"error","error":"…"}\`, and the close follows with 1008.

From the client, every message, text or binary, is what was typed.

At the end of the shell the socket is closed with 1000 for exit code 0 and 1011 for any other (128 and the number of
the signal that ended it), the reason being \`{"exitCode":0}\` or \`{"exitCode":7,"exitReason":"…"}\`. A client that
offers the subprotocol \`${PTY_EXIT_CONTROL}\` is told the same before, as text:
\`{"type":"control","status":"exited","exitCode":7,"exitReason":"…"}\`. Closing the socket only detaches: the terminal
stays, and its end is told to who connects within ten minutes after it.

A client that offers \`${PTY_SIZE_CONTROL}\` is also told, as text, the size of what follows, also within the output
kept so far: \`{"type":"control","status":"size","cols":80,"rows":24}\`.

Any number of clients up to 32 may be connected. The program waits for the fastest of them to read; one that falls 2 MB
behind the others is closed with 1008 and may connect again. So is one whose input the program does not read for 20 s,
and one that sends more than 8 MB ahead of the program.`

/** Terminals. §20.4 of the contract. */
export const ptyChannels = {
  connectPty: defineChannel({
    path: '/process/pty/{sessionId}/connect',
    summary: 'Attach to a terminal',
    description: `Attaches to a terminal, and starts its shell if that was to wait for a client.\n${ptyMessages}`,
    params: PtyParams,
    query: Empty,
    errors: ['BAD_REQUEST'],
  }),
  createAndConnectPty: defineChannel({
    path: '/process/pty/create-connect',
    summary: 'Open a terminal and attach to it',
    description:
      `Opens a terminal and attaches to it. Its environment may be offered as a subprotocol, \`${PTY_ENVS_PREFIX}\` and ` +
      `the base64url of a JSON object of strings.\n${ptyMessages}`,
    query: Type.Object({
      id: Type.String({ description: `1 to ${MAX_PTY_ID_LENGTH} characters` }),
      // The handler checks the bounds: a WebSocket client can read its error message, but not the status of an answer.
      cols: Type.Optional(Type.Integer({ description: `1 to ${MAX_TERMINAL_SIDE}; ${DEFAULT_COLS} without it` })),
      rows: Type.Optional(Type.Integer({ description: `1 to ${MAX_TERMINAL_SIDE}; ${DEFAULT_ROWS} without it` })),
      cwd: Type.Optional(Cwd),
    }),
    errors: ['BAD_REQUEST', 'VALIDATION_FAILED'],
  }),
} as const
