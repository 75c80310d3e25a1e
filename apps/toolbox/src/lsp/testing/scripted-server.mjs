#!/usr/bin/env node
// A language server for tests: the method of a request tells it how to behave.

let buffered = Buffer.alloc(0)
const documents = new Map()

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`)
  process.stdout.write(body)
}

function answer({ id, method, params }) {
  if (method === 'initialize' && process.env.SCRIPTED_END_AT_START) {
    process.stderr.write('cannot start today\n')
    process.exit(7)
  }
  if (method === 'initialize') return send({ id, result: { capabilities: { scripted: true }, pid: process.pid } })
  if (method === 'shutdown') return send({ id, result: null })
  if (method === 'exit') process.exit(0)
  if (method === 'test/die') process.exit(9)
  if (method === 'test/garbage') return process.stdout.write('Content-Length: 5\r\n\r\n{"a":')
  if (method === 'test/hang' || method === '$/cancelRequest') {
    if (method === '$/cancelRequest') send({ id: params.id, error: { code: -32800, message: 'cancelled' } })
    return
  }
  if (method === 'test/fail') return send({ id, error: { code: -32001, message: 'on purpose', data: { a: 1 } } })
  if (method === 'test/tell') return send({ method: 'test/told', params })
  if (method === 'test/documents') return send({ id, result: Object.fromEntries(documents) })
  if (method === 'test/pid') return send({ id, result: process.pid })
  if (method === 'workspace/symbol') return send({ id, result: null })
  if (method === 'textDocument/didOpen') {
    return documents.set(params.textDocument.uri, {
      version: params.textDocument.version,
      text: params.textDocument.text,
    })
  }
  if (method === 'textDocument/didClose') return documents.delete(params.textDocument.uri)
  if (method === 'textDocument/didChange') {
    return documents.set(params.textDocument.uri, {
      version: params.textDocument.version,
      changes: params.contentChanges,
    })
  }
  if (id !== undefined) send({ id, error: { code: -32601, message: `no ${method}` } })
}

process.stdin.on('data', (chunk) => {
  buffered = Buffer.concat([buffered, chunk])
  for (;;) {
    const end = buffered.indexOf('\r\n\r\n')
    if (end === -1) return
    const length = Number(/Content-Length: (\d+)/i.exec(buffered.subarray(0, end).toString())?.[1])
    if (buffered.length < end + 4 + length) return
    const body = buffered.subarray(end + 4, end + 4 + length)
    buffered = buffered.subarray(end + 4 + length)
    answer(JSON.parse(body.toString()))
  }
})
process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
