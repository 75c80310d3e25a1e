import type { processOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { createExecute } from './execute.ts'
import { listProcesses } from './list-processes.ts'
import { signalProcess } from './signal-process.ts'

/** Runs commands to their end, lists processes and signals them. */
export function createProcessFeature(parts: FeatureParts): Feature<typeof processOperations> {
  // A command has a timeout of its own, which for newer clients lies 24 days ahead, and ends when its caller goes away.
  return {
    handlers: { executeCommand: createExecute(parts), listProcesses, signalProcess },
    ownDeadline: ['executeCommand'],
  }
}
