import type { ptyChannels, ptyOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { createConnectPty, createCreateAndConnectPty } from './connect-pty.ts'
import type { PtySessions } from './pty-sessions.ts'

/** Opens, lists, resizes and ends terminals. */
export function createPtyFeature(parts: FeatureParts): Feature<typeof ptyOperations, typeof ptyChannels> {
  let loading: Promise<PtySessions> | undefined
  // The module is loaded on first use: most sandboxes never open a terminal.
  const sessions = () => {
    loading ??= import('./pty-sessions.ts').then(({ createPtySessions }) => createPtySessions(parts))
    return loading
  }
  return {
    handlers: {
      async createPty({ body }) {
        await (await sessions()).create(body)
        return { sessionId: body.id }
      },
      async listPtys() {
        return { sessions: (await sessions()).list() }
      },
      async getPty({ params }) {
        return (await sessions()).get(params.sessionId).describe()
      },
      async killPty({ params }) {
        await (await sessions()).remove(params.sessionId)
        return { message: 'PTY session deleted' }
      },
      async resizePty({ params, body }) {
        const session = (await sessions()).get(params.sessionId)
        session.resize(body)
        return session.describe()
      },
    },
    channels: {
      connectPty: createConnectPty(sessions),
      createAndConnectPty: createCreateAndConnectPty(sessions),
    },
    async [Symbol.asyncDispose]() {
      await (await loading)?.[Symbol.asyncDispose]()
    },
  }
}
