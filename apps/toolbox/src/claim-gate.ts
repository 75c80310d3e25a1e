import type { ToolboxClaim as Claim } from '@atoll/protocol'
import { AppError, CLAIM_METHOD, ToolboxClaim } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import { checkShape } from './check-shape.ts'
import type { CommandEnvironment } from './command-environment.ts'
import type { Dispatcher } from './dispatcher.ts'
import { receive } from './incoming.ts'
import type { Log } from './log.ts'
import { describeError } from './log.ts'
import { parseJson } from './parse-json.ts'
import { describeTarget, refuse } from './refuse.ts'

export interface ClaimGateOptions {
  awaitsClaim: boolean
  environment: Pick<CommandEnvironment, 'change'>
  log: Log
  now?: () => number
}

/** Receives every exchange of a toolbox before the dispatcher. */
export interface ClaimGate {
  /** Resolves when the sandbox is claimed; undefined for a sandbox that needs no claim. */
  readonly claimed: Promise<void> | undefined
  /**
   * Answers claims. Refuses other exchanges before the first claim and passes them on after it. Later claims get the same
   * answer and do nothing.
   */
  handle(exchange: IncomingExchange, next: Dispatcher): void
}

export function createClaimGate({ awaitsClaim, environment, log, now = Date.now }: ClaimGateOptions): ClaimGate {
  let waiting = awaitsClaim
  let open: () => void = () => {}
  const claimed = new Promise<void>((resolve) => {
    open = resolve
  })

  async function takeClaim(exchange: IncomingExchange): Promise<void> {
    const incoming = receive(exchange, 'json')
    try {
      const { env } = checkShape(ToolboxClaim, parseJson(await incoming.bytes), 'body') as Claim
      if (waiting) {
        environment.change({ set: env })
        waiting = false
        open()
        log.info('claimed')
      }
      // Waits, so that the start of the entrypoint is under way before the caller gets the answer.
      await claimed
      exchange.respond({ status: 204, headers: {} })
      exchange.end()
    } catch (error) {
      if (!(error instanceof AppError)) log.error('claim failed', { error: describeError(error) })
      if (!incoming.signal.aborted) refuse({ exchange, error, now: now() })
    } finally {
      incoming.close()
    }
  }

  return {
    claimed: awaitsClaim ? claimed : undefined,
    handle(exchange, next) {
      if (awaitsClaim && exchange.head.method === CLAIM_METHOD) {
        takeClaim(exchange).catch((error: unknown) => {
          log.error('exchange failed', { target: describeTarget(exchange), error: describeError(error) })
          exchange.reset('HANDLER_FAILED')
        })
      } else if (waiting) {
        receive(exchange, 'none').close()
        refuse({ exchange, error: new AppError('SERVICE_UNAVAILABLE', 'the sandbox is not claimed yet'), now: now() })
      } else next.handle(exchange)
    },
  }
}
