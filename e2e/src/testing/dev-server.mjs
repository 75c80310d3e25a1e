// A development server like that of a project: pages, a stream, server-sent events, an upload, a WebSocket.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const [port = '3000'] = process.argv.slice(2)
const PAGE = `<!doctype html><title>Dev server</title><h1>Hello from a sandbox</h1><ul id="log"></ul><script>
const log = (text) => { const li = document.createElement('li'); li.textContent = text; document.querySelector('#log').append(li) }
new EventSource('/events').onmessage = ({ data }) => log('event ' + data)
const socket = new WebSocket(location.href.replace(/^http/, 'ws').replace(/[^/]*$/, 'socket'))
socket.onopen = () => socket.send('ping')
socket.onmessage = ({ data }) => log('socket ' + data)
fetch('/upload', { method: 'POST', body: 'x'.repeat(100000) }).then((answer) => answer.text()).then((text) => log('upload ' + text))
</script>`

/** Ends the stream that waits for `/stream/go-on`. */
let goOn = () => {}

const server = createServer((request, response) => {
  const path = request.url.split('?')[0]
  if (path === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let count = 0
    const timer = setInterval(() => response.write(`data: ${count++}\n\n`), 100)
    response.on('close', () => clearInterval(timer))
  } else if (path === '/stream') {
    response.write('first ')
    goOn = () => response.end('last')
  } else if (path === '/stream/go-on') {
    goOn()
    response.end()
  } else if (path === '/upload') {
    let length = 0
    request.on('data', (piece) => (length += piece.length)).on('end', () => response.end(String(length)))
  } else if (path === '/headers') {
    response.end(JSON.stringify({ url: request.url, ...request.headers }))
  } else {
    response.setHeader('content-type', 'text/html')
    response.setHeader('set-cookie', 'own=1; Domain=localhost')
    response.end(PAGE)
  }
})

// The tests need only one short text frame of RFC 6455 each way.
server.on('upgrade', (request, socket) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  socket.on('error', () => socket.destroy())
  socket.on('data', (frame) => {
    if ((frame[0] & 15) !== 1) return socket.end()
    const length = frame[1] & 127
    const text = Buffer.from(frame.subarray(6, 6 + length)).map((byte, i) => byte ^ frame[2 + (i % 4)])
    const answer = Buffer.from(text.toString().toUpperCase())
    socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]))
  })
})
server.listen(Number(port), () => console.log('listening'))
