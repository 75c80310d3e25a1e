import type { processOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { createExecute } from './execute.ts'
import { listProcesses } from './list-processes.ts'
import { signalProcess } from './signal-process.ts'

/** Commands that run to their end, and the processes there are. */
export function createProcessFeature(parts: FeatureParts): Feature<typeof processOperations> {
  // A command ends by its own timeout.
  return {
    handlers: { executeCommand: createExecute(parts), listProcesses, signalProcess },
    ownDeadline: ['executeCommand'],
  }
}
