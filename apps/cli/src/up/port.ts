import { once } from 'node:events'
import { createServer } from 'node:net'
import { StartError } from './start-error.ts'

/** Throws StartError, naming the port, if it cannot be listened on. Port 0 is always free. */
export async function requireFreePort(host: string, port: number): Promise<void> {
  if (port === 0) return
  const server = createServer()
  server.listen({ host, port })
  try {
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const where = `port ${port} on ${host}`
    if (code === 'EADDRINUSE') throw new StartError(`${where} is taken: end what listens there or set ATOLL_PORT`)
    throw new StartError(`${where} cannot be used: ${error instanceof Error ? error.message : error}`)
  }
  server.close()
  await once(server, 'close')
}

/** Returns the URL at which a program on this machine reaches a server that may listen on every address. */
export function localUrl(url: string): string {
  const parsed = new URL(url)
  if (parsed.hostname === '0.0.0.0') parsed.hostname = '127.0.0.1'
  if (parsed.hostname === '[::]') parsed.hostname = '[::1]'
  return parsed.origin
}
