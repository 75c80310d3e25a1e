import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'

/** A registry on loopback that has one image, `tiny:1`, and asks for a login. */
export interface ImageRegistry extends AsyncDisposable {
  /** The address, such as `127.0.0.1:5000`. */
  readonly host: string
}

interface Blob {
  mediaType: string
  digest: string
  size: number
}

export interface ImageRegistryOptions {
  /** The image's only layer, a tar archive. */
  layer: Buffer
  /** The fields of the image's configuration: Env, Entrypoint, … */
  config: object
  username: string
  password: string
}

/** Starts a registry that serves only the requests of a pull. The caller must dispose of it. */
export async function startImageRegistry(options: ImageRegistryOptions): Promise<ImageRegistry> {
  const content = new Map<string, { bytes: Buffer; mediaType: string }>()
  const put = (bytes: Buffer, kind: string): Blob => {
    const mediaType = `application/vnd.oci.image.${kind}`
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    content.set(digest, { bytes, mediaType })
    return { mediaType, digest, size: bytes.length }
  }
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const diffId = `sha256:${createHash('sha256').update(options.layer).digest('hex')}`
  const rootfs = { type: 'layers', diff_ids: [diffId] }
  const described = { architecture, os: 'linux', config: options.config, rootfs }
  const config = put(Buffer.from(JSON.stringify(described)), 'config.v1+json')
  const layers = [put(gzipSync(options.layer), 'layer.v1.tar+gzip')]
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })), 'manifest.v1+json')
  const login = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString('base64')}`

  const server = createServer((request, response) => {
    if (request.headers.authorization !== login) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
      return
    }
    const reference = /^\/v2\/tiny\/(?:manifests|blobs)\/(.+)$/.exec(request.url ?? '')?.[1]
    if (request.url === '/v2/') response.writeHead(200).end()
    else send(response, content.get(reference === '1' ? manifest.digest : (reference ?? '')))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    host: `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, found: { bytes: Buffer; mediaType: string } | undefined): void {
  if (found === undefined) {
    response.writeHead(404).end()
    return
  }
  const { bytes, mediaType } = found
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const headers = { 'content-type': mediaType, 'content-length': bytes.length, 'docker-content-digest': digest }
  response.writeHead(200, headers).end(response.req.method === 'HEAD' ? undefined : bytes)
}
