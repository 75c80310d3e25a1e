import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineOperation } from '../operation.ts'
import { Empty, Nothing } from './operation-parts.ts'

export const ExecuteRequest = Type.Object({
  command: Type.String(),
  cwd: Type.Optional(Type.String()),
  timeout: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Seconds; 0 and absent mean 360, and no limit for SDK 0.113 and newer' }),
  ),
  envs: Type.Optional(Type.Record(Type.String(), Type.String())),
})
export type ExecuteRequest = Static<typeof ExecuteRequest>

export const ExecuteResponse = Type.Object(
  {
    exitCode: Type.Integer(),
    code: Type.Integer({ description: 'The same as exitCode, under its older name' }),
    result: Type.String({ description: 'stdout and stderr, interleaved' }),
  },
  { $id: 'ExecuteResponse' },
)
export type ExecuteResponse = Static<typeof ExecuteResponse>

export const ProcessInfo = Type.Object(
  {
    pid: Type.Integer(),
    ppid: Type.Integer(),
    user: Type.String({ description: 'Name, or number where it has none' }),
    command: Type.String({ description: 'Command line; the name in brackets where there is none' }),
    state: Type.String({ description: 'One letter, as ps shows it: R, S, D, T, Z' }),
    startedAt: Type.String({ format: 'date-time' }),
    memoryBytes: Type.Integer({ description: 'Resident' }),
    cpuTimeMs: Type.Number(),
  },
  { $id: 'ProcessInfo' },
)
export type ProcessInfo = Static<typeof ProcessInfo>

/** Commands that run to their end (§17.1 of the contract), and the list of processes (Atoll's own). */
export const processOperations = {
  executeCommand: defineOperation({
    method: 'POST',
    path: '/process/execute',
    summary: 'Run a command and wait for its end',
    query: Empty,
    bodyKind: 'json',
    body: ExecuteRequest,
    status: 200,
    output: ExecuteResponse,
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE', 'PROCESS_EXECUTION_TIMEOUT', 'RATE_LIMITED'],
  }),
  listProcesses: defineOperation({
    method: 'GET',
    path: '/process',
    summary: "List the sandbox's processes (Atoll's own, not Daytona's)",
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({
      processes: Type.Array(ProcessInfo),
      total: Type.Integer({ description: 'How many there are, listed or not' }),
    }),
    errors: [],
  }),
  signalProcess: defineOperation({
    method: 'DELETE',
    path: '/process/{pid}',
    summary: "Send a signal to a process, SIGTERM by default (Atoll's own, not Daytona's)",
    params: Type.Object({ pid: Type.String() }),
    query: Type.Object({ signal: Type.Optional(Type.String({ description: 'Name or number, such as KILL' })) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: ['PROCESS_NOT_FOUND', 'FORBIDDEN', 'VALIDATION_FAILED'],
  }),
} as const
