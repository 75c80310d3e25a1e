import { isUuid } from '../database/uuid.ts'
import type { Addressed, PublicOrigin } from '../http/public-origin.ts'

/** Browsers resolve every name below it to this machine, without DNS. */
const DEFAULT_PREVIEW_DOMAIN = 'localhost'

const MAX_PORT = 65_535
/** The first label of a host name: a port, and an id or a signed token. */
const LABEL = /^([1-9]\d{0,4})-([0-9a-z-]{16,36})$/
const SIGNED_TOKEN = /^[0-9a-z]{16}$/

/** The port and the sandbox or link that a host name stands for. */
export type PreviewAddress =
  | { readonly kind: 'sandbox'; readonly port: number; readonly sandboxId: string }
  | { readonly kind: 'signed'; readonly port: number; readonly token: string }

export interface PreviewHostsOptions {
  /** The domain of previews: a host name, with an optional port. */
  previewDomain: string | undefined
  publicUrl: string | undefined
  publicOrigin: PublicOrigin
}

/** Parses and writes the host names of previews. */
export interface PreviewHosts {
  /**
   * Parses a `Host` header. Returns `unknown` for a name below the domain that stands for no preview: nothing else may
   * answer it. Returns undefined for a name elsewhere.
   */
  parse(host: string | undefined): PreviewAddress | 'unknown' | undefined
  /** Returns the URL of a port; `name` is the sandbox's id, a signed token, or a placeholder for one. */
  url(request: Addressed, preview: { port: string; name: string }): string
  /** Whether the browser that sent a request reaches previews over TLS. */
  isSecure(request: Addressed): boolean
}

export function createPreviewHosts(options: PreviewHostsOptions): PreviewHosts {
  const { publicUrl, publicOrigin } = options
  const [domain = '', ownPort] = (options.previewDomain ?? DEFAULT_PREVIEW_DOMAIN).toLowerCase().split(':')
  const suffix = `.${domain}`
  // The API's own name may lie below the same domain; it is no preview.
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

/** Returns the name in lower case, without the port and without a dot at its end. */
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
