import type { Sandbox } from '@atoll/protocol'
import type { FastifyRequest } from 'fastify'
import { isSdkAtLeast } from '../http/sdk-version.ts'

/**
 * The first SDK that is answered as newer clients are (§7): a change of a sandbox with the sandbox, and the start of a started
 * one as done.
 */
const FIRST_NEWER_SDK = '0.180.0'

export function isNewer(request: Pick<FastifyRequest, 'headers'>): boolean {
  return isSdkAtLeast(request, FIRST_NEWER_SDK)
}

/** Answers a change with the sandbox for newer clients, and without a body for older ones. Returns `reply`. */
export function sendChanged<Reply extends { send(sandbox?: Sandbox): Reply; request: Pick<FastifyRequest, 'headers'> }>(
  reply: Reply,
  sandbox: Sandbox,
): Reply {
  return isNewer(reply.request) ? reply.send(sandbox) : reply.send()
}
