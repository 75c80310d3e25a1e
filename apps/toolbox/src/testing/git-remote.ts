import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface GitRemoteOptions {
  /** When given, every request must have them. */
  credentials?: { username: string; password: string }
  /** The key and certificate for HTTPS, in PEM. */
  tls?: { key: string; cert: string }
}

/** A real git server over HTTP on the loopback, with bare repositories in a folder of its own. */
export interface GitRemote extends AsyncDisposable {
  /** The folder of the bare repositories. */
  readonly folder: string
  /** `http://127.0.0.1:port`, or https. */
  readonly origin: string
  /** `origin/name.git`. */
  url(name: string): string
  /** Makes a bare repository that takes pushes, with the content that `seed` makes. Returns its folder. */
  create(name: string, seed?: (git: (...args: string[]) => string, folder: string) => void): string
  /** Requests so far, as `METHOD path?query`. */
  readonly requests: string[]
  /** The answer to the next requests instead of git's: a status, or `hang` for no answer. */
  answerWith: number | 'hang' | undefined
  /** Requests for such a path with the right credentials get no answer. */
  hangAt: RegExp | undefined
  /** Resolves when a request hangs. */
  readonly hanging: Promise<void>
}

/** An environment with an identity of its own and without the machine's configuration. */
const GIT_ENV = {
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Seed',
  GIT_AUTHOR_EMAIL: 'seed@example.com',
  GIT_COMMITTER_NAME: 'Seed',
  GIT_COMMITTER_EMAIL: 'seed@example.com',
}

/** Runs git in a folder, with another identity than the toolbox. */
export function gitIn(folder: string): (...args: string[]) => string {
  return (...args) =>
    execFileSync('git', args, {
      cwd: folder,
      env: GIT_ENV,
      encoding: 'utf8',
      maxBuffer: 16 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
}

export async function startGitRemote(options: GitRemoteOptions = {}): Promise<GitRemote> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-git-remote-'))
  const requests: string[] = []
  let onHang: (() => void) | undefined
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(`${request.method} ${request.url}`)
    if (remote.answerWith === 'hang') return onHang?.()
    if (remote.answerWith !== undefined) return response.writeHead(remote.answerWith).end()
    if (!authorized(request, options)) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('no entry\n')
    }
    if (remote.hangAt?.test(request.url ?? '')) return onHang?.()
    serve({ folder, request, response, user: options.credentials?.username ?? 'anybody' })
  }
  const server = options.tls === undefined ? createServer(answer) : createSecureServer(options.tls, answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const remote: GitRemote = {
    folder,
    origin,
    requests,
    answerWith: undefined,
    hangAt: undefined,
    hanging: new Promise((resolve) => {
      onHang = resolve
    }),
    url: (name) => `${origin}/${name}.git`,
    create(name, seed) {
      const bare = join(folder, `${name}.git`)
      gitIn(folder)('init', '--quiet', '--bare', '--initial-branch=main', bare)
      gitIn(bare)('config', 'http.receivepack', 'true')
      if (seed !== undefined) {
        const work = join(folder, `${name}-work`)
        gitIn(folder)('clone', '--quiet', bare, work)
        seed(gitIn(work), work)
      }
      return bare
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
  return remote
}

function authorized({ headers }: IncomingMessage, { credentials }: GitRemoteOptions): boolean {
  if (credentials === undefined) return true
  const expected = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')
  return headers.authorization === `Basic ${expected}`
}

interface Exchange {
  folder: string
  request: IncomingMessage
  response: ServerResponse
  user: string
}

/** Runs git's own CGI program, which answers with headers, an empty line and the body. */
function serve({ folder, request, response, user }: Exchange): void {
  const { pathname, search } = new URL(request.url ?? '/', 'http://remote')
  const cgi = spawn('git', ['http-backend'], {
    env: {
      ...GIT_ENV,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method ?? 'GET',
      REMOTE_USER: user,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  cgi.on('error', () => response.writeHead(500).end())
  cgi.stdin.on('error', () => {})
  request.pipe(cgi.stdin)
  response.on('close', () => cgi.kill())
  let head = Buffer.alloc(0)
  cgi.stdout.on('data', function onHead(chunk: Buffer) {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) return
    cgi.stdout.off('data', onHead)
    writeHead(response, head.toString('latin1', 0, end))
    response.write(head.subarray(end + 4))
    cgi.stdout.pipe(response)
  })
}

function writeHead(response: ServerResponse, text: string): void {
  let status = 200
  const headers: Record<string, string> = {}
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':')
    const [name, value] = [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    if (name === 'status') status = Number.parseInt(value, 10)
    else headers[name] = value
  }
  response.writeHead(status, headers)
}
