import { createCodeFeature } from './code/code-feature.ts'
import { createComputerFeature } from './computer/computer-feature.ts'
import type { ChannelHandlers, FeatureParts, Handlers, RawRoute } from './feature.ts'
import { createFilesFeature } from './files/files-feature.ts'
import { createGitFeature } from './git/git-feature.ts'
import { createLspFeature } from './lsp/lsp-feature.ts'
import { createPortFeature } from './port/port-feature.ts'
import { createProcessFeature } from './process/process-feature.ts'
import { createPtyFeature } from './pty/pty-feature.ts'
import { createSessionFeature } from './session/session-feature.ts'
import { createSystemFeature } from './system/system-feature.ts'
import { createWatchFeature } from './watch/watch-feature.ts'

/** Every operation and channel of the contract, with its handler. */
export interface Features extends AsyncDisposable {
  readonly handlers: Handlers
  readonly channels: ChannelHandlers
  /** Operations for which the dispatcher sets no deadline. */
  readonly ownDeadline: ReadonlySet<string>
  readonly raw: readonly RawRoute[]
}

/** Creates all features of the toolbox. Disposing them ends all that they have started. */
export function createFeatures(parts: FeatureParts): Features {
  const system = createSystemFeature(parts)
  const files = createFilesFeature(parts)
  const git = createGitFeature(parts)
  const process = createProcessFeature(parts)
  const session = createSessionFeature(parts)
  const code = createCodeFeature(parts)
  const pty = createPtyFeature(parts)
  const lsp = createLspFeature(parts)
  const watch = createWatchFeature(parts)
  const port = createPortFeature()
  const computer = createComputerFeature()
  const all = [system, files, git, process, session, code, pty, lsp, watch, port, computer]
  return {
    handlers: {
      ...system.handlers,
      ...files.handlers,
      ...git.handlers,
      ...process.handlers,
      ...session.handlers,
      ...code.handlers,
      ...pty.handlers,
      ...lsp.handlers,
      ...watch.handlers,
      ...port.handlers,
      ...computer.handlers,
    },
    channels: {
      ...session.channels,
      ...code.channels,
      ...pty.channels,
      ...lsp.channels,
      ...watch.channels,
    },
    ownDeadline: new Set(all.flatMap((feature) => feature.ownDeadline ?? [])),
    raw: all.flatMap((feature) => feature.raw ?? []),
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((feature) => feature[Symbol.asyncDispose]?.()))
    },
  }
}
