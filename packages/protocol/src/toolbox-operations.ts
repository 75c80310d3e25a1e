import { codeChannels, codeOperations } from './toolbox/code-operations.ts'
import { computerOperations } from './toolbox/computer-operations.ts'
import { fileOperations } from './toolbox/file-operations.ts'
import { gitOperations } from './toolbox/git-operations.ts'
import { lspChannels, lspOperations } from './toolbox/lsp-operations.ts'
import { portOperations } from './toolbox/port-operations.ts'
import { processOperations } from './toolbox/process-operations.ts'
import { ptyChannels, ptyOperations } from './toolbox/pty-operations.ts'
import { sessionChannels, sessionOperations } from './toolbox/session-operations.ts'
import { systemOperations } from './toolbox/system-operations.ts'
import { watchChannels, watchOperations } from './toolbox/watch-operations.ts'

/**
 * The operations of the toolbox, with paths below `/toolbox/{sandboxId}/toolbox` and `/toolbox-proxy/{sandboxId}`.
 * §14–18 and §20 of the contract.
 */
export const toolboxOperations = {
  ...systemOperations,
  ...fileOperations,
  ...gitOperations,
  ...processOperations,
  ...sessionOperations,
  ...codeOperations,
  ...ptyOperations,
  ...lspOperations,
  ...watchOperations,
  ...portOperations,
  ...computerOperations,
} as const

/** The WebSockets of the toolbox, below the same roots. */
export const toolboxChannels = {
  ...sessionChannels,
  ...codeChannels,
  ...ptyChannels,
  ...lspChannels,
  ...watchChannels,
} as const

export type ToolboxOperations = typeof toolboxOperations
export type ToolboxChannels = typeof toolboxChannels
