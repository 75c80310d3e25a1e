import type { SessionExecuteRequest, sessionChannels, sessionOperations, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Call } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { Feature, FeatureParts, HandlersOf } from '../feature.ts'
import { describeError } from '../log.ts'
import { logFormat } from './log-format.ts'
import { createLogStreams, executeReply } from './read-logs.ts'
import { overError } from './session.ts'
import type { SessionCommand } from './session-command.ts'
import { describeCommand } from './session-command.ts'
import { ENTRYPOINT_SESSION, Sessions } from './sessions.ts'

/** The time from SIGTERM to SIGKILL when a session is deleted. */
const KILL_GRACE_MS = 2_000

/** Shells that keep their state between commands, with the logs of those commands. */
export function createSessionFeature(parts: FeatureParts): Feature<typeof sessionOperations, typeof sessionChannels> {
  const sessions = new Sessions({ ...parts, graceMs: KILL_GRACE_MS })
  const { entrypoint, claimed } = parts
  if (entrypoint !== undefined) {
    const start = () =>
      sessions.startEntrypoint(entrypoint).catch((error: unknown) => {
        parts.log.error('entrypoint failed', { error: describeError(error) })
      })
    if (claimed === undefined) void start()
    else void claimed.then(start)
  }
  const streams = createLogStreams()
  const commandLog = async (params: { sessionId: string; commandId: string }) =>
    (await sessions.get(params.sessionId)).command(params.commandId).log
  return {
    handlers: {
      ...sessionHandlers(sessions),
      ...commandHandlers(sessions),
      getEntrypointLogs: async ({ query, headers, signal }) =>
        streams.reply({ log: await sessions.entrypointLog(), format: logFormat(headers), ...followed(query) }, signal),
      getSessionCommandLogs: async ({ params, query, headers, signal }) =>
        streams.reply({ log: await commandLog(params), format: logFormat(headers), ...followed(query) }, signal),
    },
    channels: {
      followEntrypointLogs: async ({ query, headers, offered }) =>
        streams.channel({
          log: await sessions.entrypointLog(),
          format: logFormat(headers, offered),
          ...followed(query),
        }),
      followSessionCommandLogs: async ({ params, query, headers, offered }) =>
        streams.channel({ log: await commandLog(params), format: logFormat(headers, offered), ...followed(query) }),
    },
    ownDeadline: ['executeSessionCommand'],
    [Symbol.asyncDispose]: () => sessions[Symbol.asyncDispose](),
  }
}

function followed({ follow = false }: { follow?: boolean }): { follow: boolean } {
  return { follow }
}

type SessionHandlers = HandlersOf<typeof sessionOperations>

function sessionHandlers(
  sessions: Sessions,
): Pick<SessionHandlers, 'createSession' | 'listSessions' | 'getSession' | 'getEntrypointSession' | 'deleteSession'> {
  return {
    async createSession({ body }) {
      await sessions.create(body.sessionId)
    },
    listSessions: async () => (await sessions.list()).map((session) => session.describe()),
    getSession: async ({ params }) => (await sessions.get(params.sessionId)).describe(),
    getEntrypointSession: async () => await sessions.describeEntrypoint(),
    async deleteSession({ params }) {
      await sessions.delete(params.sessionId)
    },
  }
}

function commandHandlers(
  sessions: Sessions,
): Pick<SessionHandlers, 'executeSessionCommand' | 'getSessionCommand' | 'sendSessionCommandInput'> {
  return {
    executeSessionCommand: (call) => execute(sessions, call),
    getSessionCommand: async ({ params }) =>
      describeCommand((await sessions.get(params.sessionId)).command(params.commandId)),
    async sendSessionCommandInput({ params, body }) {
      const session = await sessions.get(params.sessionId)
      session.sendInput(session.command(params.commandId), body.data)
    },
  }
}

/** Runs a command. A caller that goes away leaves its command running. */
async function execute(
  sessions: Sessions,
  { params, body, headers, signal }: Call<ToolboxOperations['executeSessionCommand']>,
): Promise<StreamReply> {
  checkCommand(body)
  if (params.sessionId === ENTRYPOINT_SESSION) throw new AppError('FORBIDDEN', 'the entrypoint session is read-only')
  const session = await sessions.get(params.sessionId)
  const isAsync = body.runAsync ?? body.async ?? false
  const command = session.execute(body.command, { takesInput: isAsync, echoesInput: body.suppressInputEcho !== true })
  if (isAsync) return accepted(command)
  await endOf(command, signal)
  if (session.over === 'deleted' || command.neverRan) throw overError(session)
  const { id, log, exitCode = 0 } = command
  return executeReply({ id, log, exitCode }, { format: logFormat(headers), signal })
}

function checkCommand({ command }: SessionExecuteRequest): void {
  if (command.trim() === '') throw new AppError('VALIDATION_FAILED', 'body: command must not be empty')
  if (command.includes('\0')) throw new AppError('VALIDATION_FAILED', 'body: command must not contain a NUL character')
}

function accepted({ id }: SessionCommand): StreamReply {
  async function* body() {
    yield Buffer.from(JSON.stringify({ cmdId: id }))
  }
  return new StreamReply({ status: 202, headers: { 'content-type': 'application/json; charset=utf-8' }, body: body() })
}

async function endOf(command: SessionCommand, signal: AbortSignal): Promise<void> {
  let onAbort = () => {}
  const gone = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    await Promise.race([command.done, gone])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
