/** Many HTTP exchanges and upgraded two-way streams over one WebSocket. The wire format: docs/spec/tunnel.md. */
export { acceptTunnel, createTunnelServer, type UpgradeRequest } from './accept-tunnel.ts'
export { type DialOptions, dialTunnel } from './dial-tunnel.ts'
export { type ForwardOptions, type ForwardOutcome, forwardHttp, type HttpCall } from './forward-http.ts'
export { forwardUpgrade, type UpgradeCall } from './forward-upgrade.ts'
export {
  type DialRetry,
  type KeepDialledOptions,
  type KeptDialled,
  keepDialled,
  MAX_RECONNECT_WAIT_MS,
} from './keep-dialled.ts'
export { tunnelLimits } from './limits.ts'
export { linger } from './linger.ts'
export { createPeer } from './peer.ts'
export {
  type BufferedLimits,
  type BufferedRequest,
  type BufferedResponse,
  requestBuffered,
} from './request-buffered.ts'
export {
  MAX_PACED_TEXT_CHUNK_BYTES,
  MAX_TEXT_CHUNK_BYTES,
  type TextSource,
  textChunks,
} from './text-chunks.ts'
export { type OpenedDuplex, openDuplex, toDuplex } from './to-duplex.ts'
export { TunnelError } from './tunnel-error.ts'
export type {
  Headers,
  IncomingExchange,
  Link,
  LinkListeners,
  PeerOptions,
  RequestHead,
  ResponseHandlers,
  ResponseHead,
  StreamHandlers,
  TunnelClock,
  TunnelErrorCode,
  TunnelLimits,
  TunnelPeer,
  TunnelStream,
} from './types.ts'
export { createWebSocketLink } from './ws-link.ts'
