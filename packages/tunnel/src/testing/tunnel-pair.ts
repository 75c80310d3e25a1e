import { createPeer } from '../peer.ts'
import type { IncomingExchange, PeerOptions, TunnelPeer } from '../types.ts'
import { createMemoryLinkPair, type MemoryLink, type MemoryLinkOptions } from './memory-link.ts'

export interface TunnelPair {
  dialler: TunnelPeer
  listener: TunnelPeer
  /** The dialler's and the listener's end of the link. */
  links: [MemoryLink, MemoryLink]
}

export interface PairOptions {
  link?: MemoryLinkOptions
  dialler?: Omit<PeerOptions, 'role'>
  listener?: Omit<PeerOptions, 'role'>
}

/** Makes two peers over a memory link and resolves when both are ready. */
export async function createTunnelPair(options: PairOptions = {}): Promise<TunnelPair> {
  const links = createMemoryLinkPair(options.link)
  const dialler = createPeer(links[0], { ...options.dialler, role: 'dialler' })
  const listener = createPeer(links[1], { ...options.listener, role: 'listener' })
  await Promise.all([dialler.ready, listener.ready])
  return { dialler, listener, links }
}

/** Answers with the request's own body, as fast as the caller reads. */
export function echo(exchange: IncomingExchange): void {
  exchange.respond({ status: 200, headers: { 'x-path': exchange.head.path } })
  exchange.handlers = {
    onData(chunk) {
      if (!exchange.write(Buffer.from(chunk))) exchange.pause()
    },
    onDrain: () => exchange.resume(),
    onEnd: () => exchange.end(),
    onReset() {},
  }
}

/** Resolves after one whole turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
