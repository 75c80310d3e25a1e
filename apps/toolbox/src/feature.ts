import type { Channel, Operation, ToolboxChannels, ToolboxOperations } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import type { Handler } from './call.ts'
import type { ChannelHandler } from './channels/channel.ts'
import type { CommandEnvironment } from './command-environment.ts'
import type { Log } from './log.ts'
import type { OutputPipes } from './process/output-pipes.ts'
import type { ProcessGroups } from './process/process-groups.ts'
import type { WorkDirectory } from './work-directory.ts'

/** The parts that features use. */
export interface FeatureParts {
  readonly work: WorkDirectory
  readonly groups: ProcessGroups
  readonly pipes: OutputPipes
  readonly environment: CommandEnvironment
  /** The variables that started commands inherit: `environment.values`, which change. */
  readonly commandEnv: Readonly<Record<string, string>>
  /** The program and arguments that the sandbox was made to run, if any. */
  readonly entrypoint?: readonly string[] | undefined
  /** Resolves when the sandbox is claimed, which starts the entrypoint; absent: it starts at once. */
  readonly claimed?: Promise<void> | undefined
  readonly log: Log
}

export type HandlersOf<Operations extends Record<string, Operation>> = {
  readonly [Name in keyof Operations]: Handler<Operations[Name]>
}

export type ChannelHandlersOf<Channels extends Record<string, Channel>> = {
  readonly [Name in keyof Channels]: ChannelHandler<Channels[Name]>
}

/** A part of the toolbox: the handlers of its operations and channels of the contract. */
export type Feature<
  Operations extends Record<string, Operation>,
  Channels extends Record<string, Channel> = Record<never, never>,
> = OperationsFeature<Operations> &
  ([keyof Channels] extends [never]
    ? { readonly channels?: object }
    : { readonly channels: ChannelHandlersOf<Channels> })

interface OperationsFeature<Operations extends Record<string, Operation>> extends Partial<AsyncDisposable> {
  readonly handlers: HandlersOf<Operations>
  /** Operations that end by themselves: the dispatcher sets them no deadline. */
  readonly ownDeadline?: readonly (keyof Operations & string)[]
  /** Takes every exchange below a path: any method, unread, upgrades too. It answers in every case. */
  readonly raw?: RawRoute
  /** Ends all that the feature has started outside the process groups. */
  [Symbol.asyncDispose]?(): Promise<void>
}

export interface RawRoute {
  /** A path that ends with a slash. */
  readonly prefix: string
  handle(exchange: IncomingExchange): void
}

/** One handler for each operation of the contract: a missing one does not compile. */
export type Handlers = HandlersOf<ToolboxOperations>
/** One handler for each channel of the contract. */
export type ChannelHandlers = ChannelHandlersOf<ToolboxChannels>
