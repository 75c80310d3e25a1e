import { AppError, computerOperations } from '@atoll/protocol'
import type { Feature } from '../feature.ts'

type ComputerOperations = typeof computerOperations

/** The operations of a sandbox's desktop. There is none yet: every operation says so, whatever the image contains. */
export function createComputerFeature(): Feature<ComputerOperations> {
  const entries = Object.keys(computerOperations).map((name) => [name, refuse] as const)
  // Every operation has a handler, which the type of Object.fromEntries does not tell.
  return { handlers: Object.fromEntries(entries) as Record<keyof ComputerOperations, typeof refuse> }
}

async function refuse(): Promise<never> {
  throw new AppError('COMPUTER_USE_UNAVAILABLE', 'Computer-use functionality is not available', {
    details: 'This toolbox cannot drive a desktop yet. Nothing that is installed in the sandbox changes this.',
    solution:
      'Run an X server and a VNC server as commands of the sandbox, and reach them at /proxy/{port}/ of its toolbox.',
  })
}
