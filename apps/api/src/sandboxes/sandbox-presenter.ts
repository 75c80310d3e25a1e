import type { Sandbox } from '@atoll/protocol'
import type { Addressed, PublicOrigin } from '../http/public-origin.ts'
import type { PreviewHosts } from '../previews/preview-hosts.ts'

/** The URLs of a sandbox, which depend on the address of the request. */
export interface SandboxPresenter {
  /** Returns the URL of the toolboxes; a sandbox's id is appended to it. */
  toolboxProxyUrl(request: Addressed): string
  /** Returns the URL of a port; `name` is the sandbox's id or a signed token. */
  previewUrl(request: Addressed, preview: { name: string; port: number }): string
  /** Returns the same URL with `{{PORT}}` and `{{sandboxId}}` in their places. */
  previewTemplate(request: Addressed): string
  present<Facts extends object>(request: Addressed, facts: Facts): Facts & Pick<Sandbox, 'toolboxProxyUrl'>
}

export function createSandboxPresenter(options: {
  publicOrigin: PublicOrigin
  previewHosts: Pick<PreviewHosts, 'url'>
}): SandboxPresenter {
  const { publicOrigin, previewHosts } = options
  const toolboxProxyUrl = (request: Addressed) => `${publicOrigin(request)}/api/toolbox-proxy`
  return {
    toolboxProxyUrl,
    previewTemplate: (request) => previewHosts.url(request, { port: '{{PORT}}', name: '{{sandboxId}}' }),
    previewUrl: (request, { name, port }) => previewHosts.url(request, { port: String(port), name }),
    present: (request, facts) => ({ ...facts, toolboxProxyUrl: toolboxProxyUrl(request) }),
  }
}
