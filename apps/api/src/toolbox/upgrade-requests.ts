import type { IncomingMessage } from 'node:http'
import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** The raw connection of a request that asks to upgrade. */
export interface UpgradingSocket {
  socket: Duplex
  /** What the client sent right behind its request. */
  head: Buffer
}

const upgrading = new WeakMap<IncomingMessage, UpgradingSocket>()

/**
 * Sends a request that asks to upgrade through the server's routes, so that it is authenticated, authorised and
 * refused as any other. A route that knows of upgrades takes the socket; for all others the request is a plain
 * one, as HTTP has it, and its connection ends with the answer.
 */
export function routeUpgrade(app: FastifyInstance, request: IncomingMessage, upgrade: UpgradingSocket): void {
  const { socket } = upgrade
  if (!(socket instanceof Socket)) {
    socket.destroy()
    return
  }
  // Node no longer watches a socket it has handed over: an error without a listener would end the process.
  socket.on('error', () => socket.destroy())
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.once('finish', () => socket.destroySoon())
  upgrading.set(request, upgrade)
  app.routing(request, response)
}

/** Whether a request asked to upgrade, and nobody took its connection yet. */
export function isUpgrade(request: IncomingMessage): boolean {
  return upgrading.has(request)
}

/** The connection of a request that asked to upgrade, for the one who takes it over. */
export function takeUpgrade(request: IncomingMessage): UpgradingSocket | undefined {
  const upgrade = upgrading.get(request)
  upgrading.delete(request)
  return upgrade
}
