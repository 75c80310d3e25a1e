// Runs inside a sandbox and serves the bare repositories of a folder over HTTP, to one user with a password.
// node git-remote-server.mjs FOLDER PORT USER:PASSWORD
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'

const [folder, port, credentials = ''] = process.argv.slice(2)
const expected = `Basic ${Buffer.from(credentials).toString('base64')}`

createServer((request, response) => {
  if (request.headers.authorization !== expected) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('no entry\n')
    return
  }
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://remote')
  const cgi = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: searchParams.toString(),
      REQUEST_METHOD: request.method,
      REMOTE_USER: credentials.split(':')[0],
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  cgi.on('error', () => response.writeHead(500).end())
  cgi.stdin.on('error', () => {})
  request.pipe(cgi.stdin)
  const chunks = []
  cgi.stdout.on('data', (chunk) => chunks.push(chunk))
  cgi.on('close', () => answer(Buffer.concat(chunks), response))
}).listen(Number(port), '127.0.0.1', () => console.log('listening'))

/** Passes on the answer of a CGI program: headers, an empty line and the body. */
function answer(output, response) {
  const end = output.indexOf('\r\n\r\n')
  for (const line of output.toString('latin1', 0, end).split('\r\n')) {
    const [name, value = ''] = line.split(/:\s*/, 2)
    if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10)
    else if (name !== '') response.setHeader(name, value)
  }
  response.end(output.subarray(end + 4))
}
