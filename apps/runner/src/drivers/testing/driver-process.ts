import { AppError } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { sharedDialHome } from '../../dial-homes.ts'
import { runCommand } from '../../run-command.ts'
import type { SandboxDriver } from '../driver.ts'
import { openOciDriver } from '../oci/oci-driver.ts'
import type { DriverCall, DriverMessage, DriverProcessOptions } from './remote-driver.ts'

/**
 * A driver in a process of its own, called over Node's IPC channel, so that a test can kill it as a whole.
 * The only argument is its options as JSON.
 */
const send = (message: DriverMessage) => process.send?.(message)
const options: DriverProcessOptions = JSON.parse(process.argv[2] ?? '')

try {
  const { dialHomeDir, logLevel, ...rest } = options
  const dialHomes = sharedDialHome(dialHomeDir)
  const driver = await openOciDriver({ ...rest, dialHomes, log: createLogger('driver', logLevel), run: runCommand })
  driver.onStatusChange((status) => send({ type: 'status', status }))
  process.on('message', (call: DriverCall) => {
    void perform(driver, call).then(
      (value) => send({ type: 'result', id: call.id, value }),
      (error) => send({ type: 'error', id: call.id, ...describe(error) }),
    )
  })
  process.once('disconnect', () => void driver[Symbol.asyncDispose]().finally(() => process.exit(0)))
  send({ type: 'open', info: driver.info })
} catch (error) {
  send({ type: 'failed', message: describe(error).message })
  process.disconnect()
}

async function perform(driver: SandboxDriver, call: DriverCall): Promise<unknown> {
  switch (call.method) {
    case 'create':
      return driver.create(...call.args)
    case 'start':
      return driver.start(...call.args)
    case 'launch':
      return driver.launch(...call.args)
    case 'stop':
      return driver.stop(...call.args)
    case 'remove':
      return driver.remove(...call.args)
    case 'get':
      return driver.get(...call.args)
    case 'list':
      return driver.list()
    case 'stopAll':
      return driver.stopAll(...call.args)
    case 'listSnapshots':
      return driver.snapshots.list()
    case 'getSnapshot':
      return driver.snapshots.get(...call.args)
    case 'makeSnapshot':
      return driver.snapshots.make(...call.args)
    case 'removeSnapshot':
      return driver.snapshots.remove(...call.args)
    case 'resize':
      return driver.resize(...call.args)
    case 'setNetworkRules':
      return driver.setNetworkRules(...call.args)
    case 'listVolumes':
      return driver.volumes.list()
    case 'getVolume':
      return driver.volumes.get(...call.args)
    case 'makeVolume':
      return driver.volumes.make(...call.args)
    case 'removeVolume':
      return driver.volumes.remove(...call.args)
    case 'dispose':
      return driver[Symbol.asyncDispose]()
  }
}

function describe(error: unknown): { message: string; code?: AppError['code'] } {
  if (error instanceof AppError) return { message: error.message, code: error.code }
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}
