import { constants } from 'node:os'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'

const MAX_PID = 4_194_304

/** Sends a signal to one process of the sandbox, SIGTERM unless another is named. */
export const signalProcess: Handler<ToolboxOperations['signalProcess']> = async ({ params, query }) => {
  const pid = Number(params.pid)
  if (!/^\d{1,7}$/.test(params.pid) || pid < 1 || pid > MAX_PID) {
    throw new AppError('VALIDATION_FAILED', 'pid must be the number of a process')
  }
  if (pid === process.pid) throw new AppError('FORBIDDEN', 'the toolbox itself is not ended this way')
  const name = signalName(query.signal ?? 'SIGTERM')
  try {
    process.kill(pid, name)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ESRCH') throw new AppError('PROCESS_NOT_FOUND', `there is no process ${pid}`)
    if (code === 'EPERM') throw new AppError('FORBIDDEN', `process ${pid} is another user's`)
    throw error
  }
}

/** Returns the signal's name for `TERM`, `sigterm` and `15` alike. */
function signalName(text: string): NodeJS.Signals {
  const upper = text.toUpperCase()
  const entries = Object.entries(constants.signals) as [NodeJS.Signals, number][]
  const found = entries.find(([name, number]) => [name, name.slice('SIG'.length), String(number)].includes(upper))
  if (found === undefined) throw new AppError('VALIDATION_FAILED', 'query: signal must be the name of a signal')
  return found[0]
}
