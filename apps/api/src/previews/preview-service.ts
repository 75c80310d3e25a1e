import { timingSafeEqual } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import type { SandboxAccess } from '../sandboxes/sandbox-access.ts'
import type { ToolboxService } from '../toolbox/toolbox-service.ts'
import type { ShownTokens } from './preview-credentials.ts'
import type { PreviewAddress } from './preview-hosts.ts'
import { refusals } from './preview-refusal.ts'
import type { SignedPreviewService } from './signed-preview-service.ts'

/** The ports of the web terminal and of the toolbox: they need a token even in a public sandbox (§13). */
const GUARDED_PORTS: ReadonlySet<number> = new Set([22_222, 2_280])

/** The credential by which a request was admitted. */
export type Admission = 'public' | 'signed' | 'header' | 'query' | 'cookie'

export interface OpenPreview {
  readonly sandboxId: string
  readonly peer: TunnelPeer
  readonly admission: Admission
}

export interface PreviewServiceOptions {
  toolbox: Pick<ToolboxService, 'access' | 'connect'>
  signedPreviews: Pick<SignedPreviewService, 'sandboxOf'>
}

/** Decides who may see what a sandbox serves, without the database once the sandbox and the link are cached. */
export interface PreviewService {
  /**
   * Opens the tunnel to the sandbox, and counts as activity. Throws PreviewRefused. `shown` reads a request's tokens
   * for a sandbox.
   */
  open(address: PreviewAddress, shown: (sandboxId: string) => ShownTokens): Promise<OpenPreview>
  /** Whether the sandbox exists and its previews are public. */
  isPublic(sandboxId: string): Promise<boolean>
  /** Whether this is the sandbox's current token. */
  isToken(sandboxId: string, token: string): Promise<boolean>
}

export function createPreviewService(options: PreviewServiceOptions): PreviewService {
  const { toolbox, signedPreviews } = options

  async function find(sandboxId: string): Promise<SandboxAccess | undefined> {
    const access = await toolbox.access(sandboxId)
    return access === undefined || access.destroyed ? undefined : access
  }

  async function connect(sandboxId: string, access: SandboxAccess): Promise<TunnelPeer> {
    if (!access.running) throw refusals.notRunning()
    try {
      return await toolbox.connect(sandboxId, access)
    } catch (error) {
      if (error instanceof AppError) throw refusals.unreachable()
      throw error
    }
  }

  async function openSigned(address: PreviewAddress & { kind: 'signed' }): Promise<OpenPreview> {
    const sandboxId = await signedPreviews.sandboxOf(address.token, address.port)
    const access = sandboxId === undefined ? undefined : await find(sandboxId)
    if (sandboxId === undefined || access === undefined) throw refusals.noLink()
    return { sandboxId, peer: await connect(sandboxId, access), admission: 'signed' }
  }

  return {
    async open(address, shown) {
      if (address.kind === 'signed') return openSigned(address)
      const { sandboxId, port } = address
      const access = await find(sandboxId)
      if (access === undefined) throw refusals.noSandbox()
      const open = access.public && !GUARDED_PORTS.has(port)
      const admission = open ? 'public' : admit(shown(sandboxId), access.authToken)
      return { sandboxId, peer: await connect(sandboxId, access), admission }
    },
    async isPublic(sandboxId) {
      return (await find(sandboxId))?.public === true
    },
    async isToken(sandboxId, token) {
      return isSame(token, (await find(sandboxId))?.authToken)
    },
  }
}

/** Checks the first token present, in the order header, query, cookies; of several cookies one right token is enough. */
function admit({ header, query, cookies }: ShownTokens, expected: string | null): Admission {
  if (header !== undefined) return letIn(isSame(header, expected), 'header')
  if (query !== undefined) return letIn(isSame(query, expected), 'query')
  if (cookies.length === 0) throw refusals.noToken()
  return letIn(cookies.map((cookie) => isSame(cookie, expected)).includes(true), 'cookie')
}

function letIn(isRight: boolean, admission: Admission): Admission {
  if (!isRight) throw refusals.wrongToken()
  return admission
}

/** Compares in the same time for any token of the right length. */
function isSame(given: string, expected: string | null | undefined): boolean {
  if (typeof expected !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
