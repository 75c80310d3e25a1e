import { TunnelError } from './tunnel-error.ts'
import type { Headers, TunnelPeer, TunnelStream } from './types.ts'

export interface BufferedRequest {
  method: string
  path: string
  headers?: Headers
  body?: Uint8Array | string
}

export interface BufferedResponse {
  status: number
  headers: Headers
  body: Buffer
}

/** Bounds of one buffered call. */
export interface BufferedLimits {
  timeoutMs: number
  maxResponseBytes: number
  signal?: AbortSignal
}

/**
 * Makes one small call and holds its response in memory. Rejects with a TunnelError: DEADLINE_EXCEEDED, BODY_TOO_LARGE,
 * CANCELLED by the signal, or the error that ended the exchange. A rejected call is reset.
 */
export function requestBuffered(
  peer: TunnelPeer,
  request: BufferedRequest,
  limits: BufferedLimits,
): Promise<BufferedResponse> {
  return new Promise((resolve, reject) => {
    if (limits.signal?.aborted === true) {
      reject(new TunnelError('CANCELLED', 'the call was cancelled'))
      return
    }
    const call = new BufferedCall(limits, { resolve, reject })
    call.start(peer, request)
  })
}

class BufferedCall {
  private readonly limits: BufferedLimits
  private readonly promise: { resolve: (response: BufferedResponse) => void; reject: (error: Error) => void }
  private readonly response: BufferedResponse = { status: 0, headers: {}, body: Buffer.alloc(0) }
  private readonly chunks: Buffer[] = []
  private bytes = 0
  private stream: TunnelStream | undefined
  private timer: NodeJS.Timeout | undefined

  constructor(limits: BufferedLimits, promise: BufferedCall['promise']) {
    this.limits = limits
    this.promise = promise
  }

  start(peer: TunnelPeer, request: BufferedRequest): void {
    const { method, path, headers = {}, body } = request
    this.stream = peer.request(
      { method, path, headers },
      {
        onResponse: (head) => Object.assign(this.response, head),
        onData: (chunk) => this.take(chunk),
        onEnd: () => this.settle(() => this.promise.resolve({ ...this.response, body: Buffer.concat(this.chunks) })),
        onReset: (error) => this.settle(() => this.promise.reject(error)),
      },
    )
    this.timer = setTimeout(() => {
      this.abandon(new TunnelError('DEADLINE_EXCEEDED', `no answer within ${this.limits.timeoutMs} ms`))
    }, this.limits.timeoutMs)
    this.limits.signal?.addEventListener('abort', this.cancel)
    this.stream.end(typeof body === 'string' ? Buffer.from(body) : body)
  }

  private take(chunk: Buffer): void {
    this.bytes += chunk.length
    if (this.bytes > this.limits.maxResponseBytes) {
      this.abandon(new TunnelError('BODY_TOO_LARGE', `the response is over ${this.limits.maxResponseBytes} bytes`))
      return
    }
    this.chunks.push(Buffer.from(chunk))
  }

  private readonly cancel = (): void => this.abandon(new TunnelError('CANCELLED', 'the call was cancelled'))

  private abandon(error: TunnelError): void {
    this.stream?.reset(error.code, error.message)
    this.settle(() => this.promise.reject(error))
  }

  private settle(settlePromise: () => void): void {
    clearTimeout(this.timer)
    this.limits.signal?.removeEventListener('abort', this.cancel)
    settlePromise()
  }
}
