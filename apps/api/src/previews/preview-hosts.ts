import { isUuid } from '../database/uuid.ts'
import type { Addressed, PublicOrigin } from '../http/public-origin.ts'

/** Browsers take every name below it for this machine, without any DNS. */
const DEFAULT_PREVIEW_DOMAIN = 'localhost'

const MAX_PORT = 65_535
/** One label of a host name: a port, and an id or a signed token. */
const LABEL = /^([1-9]\d{0,4})-([0-9a-z-]{16,36})$/
const SIGNED_TOKEN = /^[0-9a-z]{16}$/

/** Which port of which sandbox a host name stands for. */
export type PreviewAddress =
  | { readonly kind: 'sandbox'; readonly port: number; readonly sandboxId: string }
  | { readonly kind: 'signed'; readonly port: number; readonly token: string }

export interface PreviewHostsOptions {
  /** Below which previews are: a host name, and perhaps a port. */
  previewDomain: string | undefined
  publicUrl: string | undefined
  publicOrigin: PublicOrigin
}

/** The host names of previews: what they stand for, and how they are written. */
export interface PreviewHosts {
  /**
   * What a `Host` header stands for. `unknown`: nothing, but it lies below the domain, where nothing else may answer.
   * Undefined: it lies elsewhere.
   */
  parse(host: string | undefined): PreviewAddress | 'unknown' | undefined
  /** Where a port is to be found; `name` is the sandbox's id or a signed token, or stands for one. */
  url(request: Addressed, preview: { port: string; name: string }): string
  /** Whether the browser that sent a request reaches previews over TLS. */
  isSecure(request: Addressed): boolean
}

export function createPreviewHosts(options: PreviewHostsOptions): PreviewHosts {
  const { publicUrl, publicOrigin } = options
  const [domain = '', ownPort] = (options.previewDomain ?? DEFAULT_PREVIEW_DOMAIN).toLowerCase().split(':')
  const suffix = `.${domain}`
  // It may lie below the same domain, and answers for itself.
  const apiHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname.toLowerCase()

  return {
    isSecure: (request) => publicOrigin(request).startsWith('https:'),
    parse(host) {
      const name = hostName(host)
      if (!name.endsWith(suffix) || name === apiHost) return undefined
      return parseLabel(name.slice(0, -suffix.length)) ?? 'unknown'
    },
    url(request, { port, name }) {
      const api = new URL(publicOrigin(request))
      const shownPort = ownPort ?? api.port
      return `${api.protocol}//${port}-${name}${suffix}${shownPort === '' ? '' : `:${shownPort}`}`
    },
  }
}

/** Lower case, without the port and without the dot that may end it. */
function hostName(host: string | undefined): string {
  return (host ?? '').toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
}

function parseLabel(label: string): PreviewAddress | undefined {
  const [, digits = '', name = ''] = LABEL.exec(label) ?? []
  const port = Number(digits)
  if (digits === '' || port > MAX_PORT) return undefined
  if (isUuid(name)) return { kind: 'sandbox', port, sandboxId: name }
  return SIGNED_TOKEN.test(name) ? { kind: 'signed', port, token: name } : undefined
}
