import { parseIpv4, parseIpv4Block } from '../network/ipv4.ts'
import { SnapshotError } from './make-context.ts'

const DEFAULT_REGISTRY = 'docker.io'
/** Names separated by slashes, and then a tag, a digest or both. */
const PATH = /^[a-z0-9]+(?:(?:[./]|_{1,2}|-+)[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/
/** Addresses that clouds answer with a machine's credentials. */
const METADATA = ['169.254.0.0/16', '100.100.100.200/32', '192.0.0.192/32', '168.63.129.16/32']

export interface ImageReference {
  /** The registry as credentials name it: `docker.io`, `127.0.0.1:5000`. */
  registry: string
  /** The complete name: `docker.io/library/python:3.13`. */
  name: string
  /** True where plain HTTP, and HTTPS with an unverified certificate, are allowed. */
  isLoopback: boolean
}

/** Reads a reference as container engines do. Throws SnapshotError for a malformed one. */
export function parseImageReference(text: string): ImageReference {
  const [first = '', ...rest] = text.split('/')
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  const registry = hasRegistry ? first : DEFAULT_REGISTRY
  const path = hasRegistry ? rest.join('/') : text
  const isOfficial = registry === DEFAULT_REGISTRY && !path.includes('/')
  if (!PATH.test(path)) throw new SnapshotError(`${JSON.stringify(text)} is not the name of an image`)
  const host = registry.replace(/:\d+$/, '')
  const address = parseIpv4(host)
  if (address !== undefined && METADATA.some((block) => isIn(address, block))) {
    throw new SnapshotError(`${registry} is no registry`)
  }
  return {
    registry,
    name: `${registry}/${isOfficial ? 'library/' : ''}${withTag(path)}`,
    isLoopback: host === 'localhost' || (address !== undefined && isIn(address, '127.0.0.0/8')),
  }
}

/** Adds the default tag, or drops a tag beside a digest: skopeo takes one of the two, and the digest is enough. */
function withTag(path: string): string {
  const [name = '', digest] = path.split('@')
  if (digest !== undefined) return `${name.replace(/:[^/:]*$/, '')}@${digest}`
  return /:[^/]*$/.test(name) ? name : `${name}:latest`
}

function isIn(address: number, block: string): boolean {
  const { base, prefix } = parseIpv4Block(block) ?? { base: 0, prefix: 32 }
  return address >= base && address < base + 2 ** (32 - prefix)
}
