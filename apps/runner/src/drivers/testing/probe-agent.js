// Takes the toolbox's place in tests: connects to the dial-home socket and runs the commands it gets, one JSON line
// for each request and each reply.
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const MAX_OUTPUT_BYTES = 1024 * 1024

const socket = connect('/run/atoll/dial-home.sock')
const send = (message) => socket.write(`${JSON.stringify(message)}\n`)

socket.on('connect', () => send({ hello: process.env.ATOLL_SANDBOX_ID, environment: process.env }))
socket.on('error', () => process.exit(70))
socket.on('close', () => process.exit(70))
createInterface({ input: socket }).on('line', (line) => {
  const request = JSON.parse(line)
  if ('exit' in request) process.exit(request.exit)
  run(request)
})

function run({ id, argv }) {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] = (output[name] + text).slice(0, MAX_OUTPUT_BYTES)
    })
  }
  child.on('error', (error) => send({ id, code: -1, signal: null, ...output, stderr: error.message }))
  child.on('close', (code, signal) => send({ id, code: code ?? -1, signal, ...output }))
}
