import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineChannel, defineOperation } from '../operation.ts'
import { Empty } from './operation-parts.ts'

/** The languages of code that can be run. */
export const CODE_LANGUAGES = ['python', 'javascript', 'typescript'] as const
export type CodeLanguage = (typeof CODE_LANGUAGES)[number]

const Language = Type.Unsafe<CodeLanguage>({ type: 'string', enum: [...CODE_LANGUAGES] })
const Variables = Type.Record(Type.String(), Type.String())

export const CodeRunRequest = Type.Object({
  code: Type.String(),
  language: Language,
  argv: Type.Optional(Type.Array(Type.String())),
  envs: Type.Optional(Variables),
  timeout: Type.Optional(Type.Integer({ minimum: 0, description: 'Seconds; 0 and absent: none' })),
})
export type CodeRunRequest = Static<typeof CodeRunRequest>

/** A chart as the SDKs describe it: `type`, `title`, `elements`, axes, and `png` in base64. */
const Chart = Type.Record(Type.String(), Type.Unknown())

export const CodeRunResponse = Type.Object(
  {
    exitCode: Type.Integer(),
    result: Type.String({ description: 'stdout and stderr, interleaved, without the lines that carry charts' }),
    artifacts: Type.Optional(Type.Object({ charts: Type.Array(Chart) })),
  },
  { $id: 'CodeRunResponse' },
)
export type CodeRunResponse = Static<typeof CodeRunResponse>

export const InterpreterContext = Type.Object(
  {
    id: Type.String(),
    cwd: Type.String(),
    createdAt: Type.String({ format: 'date-time' }),
    active: Type.Boolean({ description: 'Whether its interpreter runs; it is started anew when it is needed' }),
    language: Type.String(),
  },
  { $id: 'InterpreterContext' },
)
export type InterpreterContext = Static<typeof InterpreterContext>

/** The first message of a client on `executeInterpreterCode`. */
export const InterpreterExecuteRequest = Type.Object({
  code: Type.String({ minLength: 1 }),
  contextId: Type.Optional(Type.String()),
  envs: Type.Optional(Variables),
  timeout: Type.Optional(Type.Number({ minimum: 0, description: 'Seconds; absent: 600, 0: none' })),
})
export type InterpreterExecuteRequest = Static<typeof InterpreterExecuteRequest>

/** Running code, once and in contexts that keep their state. §17.2, §20.3 and §20.5 of the contract. */
export const codeOperations = {
  runCode: defineOperation({
    method: 'POST',
    path: '/process/code-run',
    summary: 'Run code in a process of its own and wait for its end',
    query: Empty,
    bodyKind: 'json',
    body: CodeRunRequest,
    status: 200,
    output: CodeRunResponse,
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE', 'PROCESS_EXECUTION_TIMEOUT', 'RATE_LIMITED'],
  }),
  createInterpreterContext: defineOperation({
    method: 'POST',
    path: '/process/interpreter/context',
    summary: 'Start a Python interpreter that keeps its variables between executions',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ cwd: Type.Optional(Type.String()), language: Type.Optional(Type.String()) }),
    status: 200,
    output: InterpreterContext,
    errors: ['VALIDATION_FAILED', 'INVALID_JSON', 'BAD_REQUEST', 'RATE_LIMITED'],
  }),
  listInterpreterContexts: defineOperation({
    method: 'GET',
    path: '/process/interpreter/context',
    summary: 'List the interpreter contexts, without the default one',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ contexts: Type.Array(InterpreterContext) }),
    errors: [],
  }),
  deleteInterpreterContext: defineOperation({
    method: 'DELETE',
    path: '/process/interpreter/context/{id}',
    summary: 'End an interpreter and forget its variables',
    params: Type.Object({ id: Type.String() }),
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ message: Type.String() }),
    errors: ['BAD_REQUEST', 'NOT_FOUND'],
  }),
} as const

/** Running code, once and in contexts that keep their state. §17.2, §20.3 and §20.5 of the contract. */
export const codeChannels = {
  executeInterpreterCode: defineChannel({
    path: '/process/interpreter/execute',
    summary: 'Execute Python code in an interpreter context',
    description: [
      'The client sends one text message, `{code, contextId?, envs?, timeout?}`; without `contextId` the code runs in the',
      'context `default`. The server sends text frames: `{type: "stdout" | "stderr", text}`, `{type: "error", name, value,',
      'traceback}`, at the end `{type: "control", text: "completed" | "interrupted"}`, and closes with 1000. Beside these,',
      '`{type: "chart", chart}` for each figure that matplotlib shows, and `{type: "result", text}` with the value of the',
      "code's last expression unless it is None. Code that is over time ends with close code 4008, a bad request with",
      '1008, a full queue with 1013, a sandbox without Python with 1011. A client that closes interrupts its code.',
    ].join(' '),
    query: Empty,
    errors: ['BAD_REQUEST'],
  }),
} as const
