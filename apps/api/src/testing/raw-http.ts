import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'

export interface RawAnswer {
  status: number
  headers: string
  body: string
}

/** Opens a connection to a port of this machine, or to the path of a unix socket. A reset shows as its close. */
export async function openSocket(where: number | string): Promise<Socket> {
  const socket = typeof where === 'number' ? connect(where, '127.0.0.1') : connect(where)
  await once(socket, 'connect')
  socket.on('error', () => socket.destroy())
  return socket
}

/** Writes bytes as they are and reads until the other end closes. */
export async function rawHttp(where: number | string, text: string): Promise<RawAnswer> {
  const socket = await openSocket(where)
  socket.write(text)
  return readAnswer(socket)
}

/** Reads until the other end closes. */
export async function readAnswer(socket: Socket): Promise<RawAnswer> {
  let received = ''
  socket.setEncoding('utf8').on('data', (data: string) => {
    received += data
  })
  await once(socket, 'close')
  const [head = '', body = ''] = received.split('\r\n\r\n', 2)
  return { status: Number(head.split(' ')[1]), headers: head.toLowerCase(), body }
}
