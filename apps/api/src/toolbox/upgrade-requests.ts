import type { IncomingMessage } from 'node:http'
import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** The raw connection of a request to upgrade. */
export interface UpgradingSocket {
  socket: Duplex
  /** The bytes that the client sent directly behind its request. */
  head: Buffer
}

const upgrading = new WeakMap<IncomingMessage, UpgradingSocket>()

/**
 * Sends a request to upgrade through the server's routes, so that it is authenticated, authorised and refused like any
 * other. A route for upgrades takes the socket. For all other routes the request is a plain one, as HTTP allows, and
 * its connection ends with the answer.
 */
export function routeUpgrade(app: FastifyInstance, request: IncomingMessage, upgrade: UpgradingSocket): void {
  const { socket } = upgrade
  if (!(socket instanceof Socket)) {
    socket.destroy()
    return
  }
  // Node no longer handles errors of a socket it has handed over: without a listener one would end the process.
  socket.on('error', () => socket.destroy())
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.once('finish', () => socket.destroySoon())
  upgrading.set(request, upgrade)
  app.routing(request, response)
}

/** Whether a request asked to upgrade, and its connection has not been taken yet. */
export function isUpgrade(request: IncomingMessage): boolean {
  return upgrading.has(request)
}

/** Returns the connection of a request to upgrade to the route that takes it over. */
export function takeUpgrade(request: IncomingMessage): UpgradingSocket | undefined {
  const upgrade = upgrading.get(request)
  upgrading.delete(request)
  return upgrade
}
