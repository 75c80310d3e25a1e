import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { Route } from './tunnel-load.ts'

/** The time in which calls are counted, in milliseconds. */
const CALLS_MS = 700

const HEAD_END = '\r\n\r\n'
const CONTENT_LENGTH = /\r\ncontent-length: (\d+)/i
const OK = 'HTTP/1.1 200 '

/**
 * Returns the calls a second with `inFlight` of them at any time, each on a connection of its own. The calls are made on
 * bare sockets: a full HTTP client costs more than a call does, and would be measured instead.
 */
export async function callsPerSecond({ origin, prefix }: Route, inFlight: number): Promise<number> {
  const { hostname, port, host } = new URL(origin)
  const request = Buffer.from(`GET ${prefix}/small HTTP/1.1\r\nhost: ${host}${HEAD_END}`)
  const sockets = Array.from({ length: inFlight }, () => connect({ host: hostname, port: Number(port) }))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  const start = performance.now()
  const counts = await Promise.all(sockets.map((socket) => countCalls(socket, { request, until: start + CALLS_MS })))
  const seconds = (performance.now() - start) / 1000
  return counts.reduce((sum, count) => sum + count, 0) / seconds
}

/** Repeats the call as soon as it is answered; resolves with the number of calls when the time is over. */
function countCalls(socket: Socket, { request, until }: { request: Buffer; until: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    let calls = 0
    let answer = ''
    socket.setNoDelay()
    socket.setEncoding('latin1')
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('a connection was closed amid its calls')))
    socket.on('data', (text: string) => {
      answer += text
      if (!isWhole(answer)) return
      if (!answer.startsWith(OK)) {
        reject(new Error(`a call was answered with ${answer}`))
        return
      }
      answer = ''
      calls += 1
      if (performance.now() < until) {
        socket.write(request)
        return
      }
      resolve(calls)
      socket.destroy()
    })
    socket.write(request)
  })
}

function isWhole(answer: string): boolean {
  const headEnd = answer.indexOf(HEAD_END)
  if (headEnd === -1) return false
  const length = CONTENT_LENGTH.exec(answer)?.[1]
  if (length === undefined) throw new Error('an answer of unknown length')
  return answer.length >= headEnd + HEAD_END.length + Number(length)
}
