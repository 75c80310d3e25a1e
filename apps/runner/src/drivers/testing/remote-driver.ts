import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { ErrorCode, SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { DriverInfo, SandboxDriver, StatusListener } from '../driver.ts'
import type { OciDriverOptions } from '../oci/prepare-host.ts'
import type { SnapshotHolder } from '../snapshot-holder.ts'
import type { VolumeHolder } from '../volume-holder.ts'

export interface DriverProcessOptions extends Omit<OciDriverOptions, 'dialHomes' | 'log' | 'run'> {
  /** Folder of the socket that all sandboxes dial. */
  dialHomeDir: string
  logLevel: string
}

type Callable = Pick<
  SandboxDriver,
  'create' | 'start' | 'launch' | 'stop' | 'remove' | 'get' | 'list' | 'stopAll' | 'resize' | 'setNetworkRules'
> & {
  dispose(): Promise<void>
  listVolumes: VolumeHolder['list']
  getVolume: VolumeHolder['get']
  makeVolume: VolumeHolder['make']
  removeVolume: VolumeHolder['remove']
  listSnapshots: SnapshotHolder['list']
  getSnapshot: SnapshotHolder['get']
  makeSnapshot: SnapshotHolder['make']
  removeSnapshot: SnapshotHolder['remove']
}

/** A method of the driver and its arguments. */
export type DriverCall = {
  [Method in keyof Callable]: { id: number; method: Method; args: Parameters<Callable[Method]> }
}[keyof Callable]

export type DriverMessage =
  | { type: 'open'; info: DriverInfo }
  | { type: 'failed'; message: string }
  | { type: 'status'; status: SandboxStatus }
  | { type: 'result'; id: number; value: unknown }
  | { type: 'error'; id: number; message: string; code?: ErrorCode }

/** A driver that lives in another process. */
export interface RemoteDriver extends SandboxDriver {
  readonly pid: number
  /** False once it was killed or disposed. */
  readonly isAlive: boolean
  /** Ends its process with kill -9. */
  kill(): Promise<void>
}

interface PendingCall {
  resolve: (value: never) => void
  reject: (error: Error) => void
}

/** Starts `program` (a bundle of driver-process.ts) and opens a driver in it. Throws what opening the driver throws. */
export async function openRemoteDriver(program: string, options: DriverProcessOptions): Promise<RemoteDriver> {
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const pending = new Map<number, PendingCall>()
  const listeners = new Set<StatusListener>()
  const exited = once(child, 'exit')
  const info = await new Promise<DriverInfo>((resolve, reject) => {
    child.on('message', (message: DriverMessage) => {
      if (message.type === 'open') resolve(message.info)
      else if (message.type === 'failed') reject(new Error(message.message))
      else receive(message, { pending, listeners })
    })
    child.once('exit', () => {
      reject(new Error('the driver process ended before it was open'))
      for (const call of pending.values()) call.reject(new Error('the driver process ended'))
    })
  })
  const call = createCaller(child, pending)
  return {
    name: 'oci',
    info,
    pid: child.pid ?? -1,
    get isAlive() {
      return child.connected
    },
    create: (...args) => call('create', args),
    start: (...args) => call('start', args),
    launch: (...args) => call('launch', args),
    stop: (...args) => call('stop', args),
    remove: (...args) => call('remove', args),
    get: (...args) => call('get', args),
    list: () => call('list', []),
    stopAll: (...args) => call('stopAll', args),
    resize: (...args) => call('resize', args),
    setNetworkRules: (...args) => call('setNetworkRules', args),
    volumes: {
      list: () => call('listVolumes', []),
      get: (...args) => call('getVolume', args),
      make: (...args) => call('makeVolume', args),
      remove: (...args) => call('removeVolume', args),
    },
    snapshots: {
      list: () => call('listSnapshots', []),
      get: (...args) => call('getSnapshot', args),
      make: (...args) => call('makeSnapshot', args),
      remove: (...args) => call('removeSnapshot', args),
      takeContent: () => notFromHere(),
      readLog: () => notFromHere(),
      export: () => notFromHere(),
      onChange: () => () => undefined,
    },
    archives: {
      stage: () => notFromHere(),
      read: () => notFromHere(),
      discard: () => notFromHere(),
      arrived: () => notFromHere(),
      receive: () => notFromHere(),
      unpack: () => notFromHere(),
    },
    onStatusChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    [Symbol.asyncDispose]: async () => {
      if (!child.connected) return
      await call('dispose', [])
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Rejects: streams do not pass between the two processes, so tests of them have the driver in their own process. */
function notFromHere(): Promise<never> {
  return Promise.reject(new Error('not possible in a driver in another process'))
}

function createCaller(child: ChildProcess, pending: Map<number, PendingCall>) {
  let last = 0
  return <Method extends keyof Callable>(method: Method, args: Parameters<Callable[Method]>) =>
    new Promise<Awaited<ReturnType<Callable[Method]>>>((resolve, reject) => {
      if (!child.connected) return reject(new Error('the driver process has ended'))
      last += 1
      pending.set(last, { resolve, reject })
      child.send({ id: last, method, args })
    })
}

function receive(
  message: Extract<DriverMessage, { type: 'status' | 'result' | 'error' }>,
  { pending, listeners }: { pending: Map<number, PendingCall>; listeners: Set<StatusListener> },
): void {
  if (message.type === 'status') {
    for (const listener of listeners) listener(message.status)
    return
  }
  const call = pending.get(message.id)
  pending.delete(message.id)
  if (message.type === 'result') call?.resolve(message.value as never)
  else
    call?.reject(message.code === undefined ? new Error(message.message) : new AppError(message.code, message.message))
}
