import type { ToolboxChannels } from '@atoll/protocol'
import { AppError, MAX_PTY_ID_LENGTH, PTY_ENVS_PREFIX, PTY_EXIT_CONTROL, PTY_SIZE_CONTROL } from '@atoll/protocol'
import type { ChannelHandler, ChannelOpening } from '../channels/channel.ts'
import { parseJson } from '../parse-json.ts'
import { refuseViewer } from './pty-messages.ts'
import type { PtySession } from './pty-session.ts'
import type { PtySessions } from './pty-sessions.ts'

/** Attaches a client to a terminal, and starts the terminal if it has waited for that. */
export function createConnectPty(sessions: () => Promise<PtySessions>): ChannelHandler<ToolboxChannels['connectPty']> {
  return ({ params, offered }) =>
    open(offered, async () => {
      const session = (await sessions()).get(params.sessionId)
      session.start()
      return session
    })
}

/** Opens a terminal and attaches the client to it. */
export function createCreateAndConnectPty(
  sessions: () => Promise<PtySessions>,
): ChannelHandler<ToolboxChannels['createAndConnectPty']> {
  return ({ query, offered }) =>
    open(offered, async () => {
      if (query.id === '' || query.id.length > MAX_PTY_ID_LENGTH) {
        throw new AppError('VALIDATION_FAILED', `id must have 1 to ${MAX_PTY_ID_LENGTH} characters`)
      }
      return (await sessions()).create({ ...query, envs: readEnvs(offered) })
    })
}

/** Tells by a message why there is no terminal: a WebSocket client cannot read the answer to a refused upgrade. */
async function open(offered: readonly string[], find: () => Promise<PtySession>): Promise<ChannelOpening> {
  const wishes = { exitControl: offered.includes(PTY_EXIT_CONTROL), sizeControl: offered.includes(PTY_SIZE_CONTROL) }
  const subprotocol = [PTY_EXIT_CONTROL, PTY_SIZE_CONTROL].find((name) => offered.includes(name))
  const found = await find().catch((error: unknown) => {
    if (error instanceof AppError) return error
    throw error
  })
  return {
    ...(subprotocol === undefined ? {} : { subprotocol }),
    attach(socket) {
      if (found instanceof AppError) refuseViewer(socket, found.message)
      else found.attach(socket, wishes)
    },
  }
}

/** Returns the environment the client offers. Throws VALIDATION_FAILED if it is not a JSON object of strings. */
function readEnvs(offered: readonly string[]): Record<string, string> {
  const encoded = offered.find((name) => name.startsWith(PTY_ENVS_PREFIX))?.slice(PTY_ENVS_PREFIX.length)
  if (encoded === undefined) return {}
  const value = parseJson(Buffer.from(encoded, 'base64url'))
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : []
  if (entries.length === 0 || entries.some(([, text]) => typeof text !== 'string')) {
    throw new AppError('VALIDATION_FAILED', 'the environment must be a JSON object of strings')
  }
  return Object.fromEntries(entries)
}
