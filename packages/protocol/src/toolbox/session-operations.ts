import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineChannel, defineOperation } from '../operation.ts'
import { Empty, Nothing } from './operation-parts.ts'

/** Longest session id, in characters. */
export const MAX_SESSION_ID_LENGTH = 255

export const SessionCommand = Type.Object(
  {
    id: Type.String(),
    command: Type.String({ description: 'As it was sent; a very long one is cut' }),
    exitCode: Type.Optional(
      Type.Integer({ description: 'Absent until the command has ended and all its output is logged' }),
    ),
  },
  { $id: 'Command' },
)
export type SessionCommand = Static<typeof SessionCommand>

export const Session = Type.Object(
  { sessionId: Type.String(), commands: Type.Array(SessionCommand) },
  { $id: 'Session' },
)
export type Session = Static<typeof Session>

export const SessionExecuteRequest = Type.Object({
  command: Type.String(),
  runAsync: Type.Optional(Type.Boolean({ description: 'Answer 202 at once, and give the command an input to be fed' })),
  async: Type.Optional(Type.Boolean({ description: 'The older name of runAsync' })),
  suppressInputEcho: Type.Optional(Type.Boolean({ description: 'Keep what is sent as input out of the log' })),
})
export type SessionExecuteRequest = Static<typeof SessionExecuteRequest>

const SessionExecuteResponse = Type.Object(
  {
    cmdId: Type.String(),
    exitCode: Type.Optional(Type.Integer()),
    output: Type.Optional(Type.String({ description: 'Both streams' })),
    stdout: Type.Optional(Type.String({ description: 'For SDK 0.167 and newer' })),
    stderr: Type.Optional(Type.String({ description: 'For SDK 0.167 and newer' })),
  },
  { $id: 'SessionExecuteResponse' },
)

const SessionCommandLogs = Type.Object(
  { output: Type.String(), stdout: Type.String(), stderr: Type.String() },
  { $id: 'SessionCommandLogsResponse', description: 'For SDK 0.167 and newer; older ones get text' },
)

const sessionId = Type.String({ minLength: 1 })
const SessionParams = Type.Object({ sessionId })
const CommandParams = Type.Object({ sessionId, commandId: Type.String({ minLength: 1 }) })
const LogsQuery = Type.Object({
  follow: Type.Optional(Type.Boolean({ description: 'Stream until the command ends' })),
})

const LOGS_DESCRIPTION =
  'Binary messages from the server: the whole log so far, with `follow` also what comes until the command ends; ' +
  'then close 1000. Plain bytes for SDKs before 0.27 and none. For newer ones each line begins with 01 01 01 (stdout) ' +
  'or 02 02 02 (stderr). Output that is no longer recorded is told as a line of stderr. Messages from the client are ignored.'

/** Shells that keep their state between commands. §17.3 and §17.4 of the contract. */
export const sessionOperations = {
  createSession: defineOperation({
    method: 'POST',
    path: '/process/session',
    summary: 'Start a shell that keeps its state between commands',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ sessionId: Type.String({ minLength: 1, maxLength: MAX_SESSION_ID_LENGTH }) }),
    status: 200,
    output: Nothing,
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'CONFLICT', 'RATE_LIMITED', 'SERVICE_UNAVAILABLE'],
  }),
  listSessions: defineOperation({
    method: 'GET',
    path: '/process/session',
    summary: 'List the sessions with their commands',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(Session),
    errors: [],
  }),
  getEntrypointSession: defineOperation({
    method: 'GET',
    path: '/process/session/entrypoint',
    summary: "Get the session of the sandbox's entrypoint, which is read-only and empty where there is none",
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Session,
    errors: [],
  }),
  getEntrypointLogs: defineOperation({
    method: 'GET',
    path: '/process/session/entrypoint/logs',
    summary: "Read or follow the log of the sandbox's entrypoint",
    query: LogsQuery,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: SessionCommandLogs,
    errors: ['RATE_LIMITED'],
  }),
  getSession: defineOperation({
    method: 'GET',
    path: '/process/session/{sessionId}',
    summary: 'Get a session with its commands',
    params: SessionParams,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Session,
    errors: ['NOT_FOUND'],
  }),
  deleteSession: defineOperation({
    method: 'DELETE',
    path: '/process/session/{sessionId}',
    summary: 'End a session with all it has started, and remove its logs',
    params: SessionParams,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: ['NOT_FOUND', 'FORBIDDEN'],
  }),
  executeSessionCommand: defineOperation({
    method: 'POST',
    path: '/process/session/{sessionId}/exec',
    summary: 'Run a command in a session after those before it: 200 with its result, or 202 at once when async',
    params: SessionParams,
    query: Empty,
    bodyKind: 'json',
    body: SessionExecuteRequest,
    status: 200,
    output: SessionExecuteResponse,
    errors: [
      'NOT_FOUND',
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'BAD_REQUEST',
      'FORBIDDEN',
      'SESSION_ENDED',
      'RATE_LIMITED',
    ],
  }),
  getSessionCommand: defineOperation({
    method: 'GET',
    path: '/process/session/{sessionId}/command/{commandId}',
    summary: 'Get a command of a session',
    params: CommandParams,
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: SessionCommand,
    errors: ['NOT_FOUND'],
  }),
  getSessionCommandLogs: defineOperation({
    method: 'GET',
    path: '/process/session/{sessionId}/command/{commandId}/logs',
    summary: 'Read or follow the log of a command',
    params: CommandParams,
    query: LogsQuery,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: SessionCommandLogs,
    errors: ['NOT_FOUND', 'RATE_LIMITED'],
  }),
  sendSessionCommandInput: defineOperation({
    method: 'POST',
    path: '/process/session/{sessionId}/command/{commandId}/input',
    summary: 'Send a line to the input of an async command; a missing newline is added',
    params: CommandParams,
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ data: Type.String() }),
    status: 204,
    output: Nothing,
    errors: ['NOT_FOUND', 'BAD_REQUEST', 'SESSION_ENDED', 'COMMAND_ALREADY_COMPLETED', 'RATE_LIMITED'],
  }),
} as const

/** Shells that keep their state between commands. §17.3 and §17.4 of the contract. */
export const sessionChannels = {
  followSessionCommandLogs: defineChannel({
    path: '/process/session/{sessionId}/command/{commandId}/logs',
    summary: 'Read or follow the log of a command over a WebSocket',
    description: LOGS_DESCRIPTION,
    params: CommandParams,
    query: LogsQuery,
    errors: ['NOT_FOUND', 'RATE_LIMITED'],
  }),
  followEntrypointLogs: defineChannel({
    path: '/process/session/entrypoint/logs',
    summary: "Read or follow the log of the sandbox's entrypoint over a WebSocket",
    description: LOGS_DESCRIPTION,
    query: LogsQuery,
    errors: ['RATE_LIMITED'],
  }),
} as const
