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

/** Stands before everything that a toolbox answers. */
export interface ClaimGate {
  /** Resolves when the sandbox is somebody's; undefined where it always was. */
  readonly claimed: Promise<void> | undefined
  /**
   * Answers claims, and passes all else on once there was one; before that it is refused. The first claim counts: the
   * next ones are answered alike and do nothing.
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
      // The entrypoint is on its way before the caller hears of the claim.
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
