import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineOperation } from './operation.ts'

/** Longest path accepted, in UTF-8 bytes; Linux's own PATH_MAX. */
export const MAX_PATH_BYTES = 4096

const Empty = Type.Object({})
const Nothing = Type.Undefined()
const Path = Type.String({
  minLength: 1,
  description: 'Absolute, or relative to the work directory; a leading ~ is the home',
})

export const FileInfo = Type.Object(
  {
    name: Type.String({ description: 'Base name' }),
    size: Type.Integer({ description: 'Bytes' }),
    mode: Type.String({ description: 'As ls and Go print it: -rw-r--r--' }),
    modTime: Type.String({ description: 'RFC 3339' }),
    modifiedAt: Type.String({ description: 'RFC 3339' }),
    isDir: Type.Boolean(),
    owner: Type.String(),
    group: Type.String(),
    permissions: Type.String({ description: '4 octal digits: 0644' }),
  },
  { $id: 'FileInfo' },
)
export type FileInfo = Static<typeof FileInfo>

export const ExecuteRequest = Type.Object({
  command: Type.String(),
  cwd: Type.Optional(Type.String()),
  timeout: Type.Optional(Type.Integer({ minimum: 0, description: 'Seconds; 0 and absent mean the default' })),
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

const fileErrors = ['FILE_NOT_FOUND', 'FILE_ACCESS_DENIED', 'INVALID_FILE_PATH'] as const

/** What the toolbox answers, path by path, relative to `/toolbox/{sandboxId}/toolbox`. §14–17 of the contract. */
export const toolboxOperations = {
  getProjectDir: defineOperation({
    method: 'GET',
    path: '/project-dir',
    summary: 'Home of the sandbox user',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ dir: Type.String() }),
    errors: [],
  }),
  listFiles: defineOperation({
    method: 'GET',
    path: '/files',
    summary: 'List a directory, one level',
    query: Type.Object({ path: Type.Optional(Type.String()) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(FileInfo),
    errors: fileErrors,
  }),
  getFileInfo: defineOperation({
    method: 'GET',
    path: '/files/info',
    summary: 'Describe a file or directory',
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: FileInfo,
    errors: fileErrors,
  }),
  downloadFile: defineOperation({
    method: 'GET',
    path: '/files/download',
    summary: 'Download a file',
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.String({ format: 'binary' }),
    errors: [...fileErrors, 'FILE_READ_FAILED', 'RANGE_NOT_SATISFIABLE'],
  }),
  uploadFile: defineOperation({
    method: 'POST',
    path: '/files/upload',
    summary: 'Upload one file (multipart field "file"); parents are created',
    query: Type.Object({ path: Path }),
    bodyKind: 'multipart',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: [...fileErrors, 'DISK_FULL', 'FILE_WRITE_FAILED'],
  }),
  uploadFiles: defineOperation({
    method: 'POST',
    path: '/files/bulk-upload',
    summary: 'Upload several files (pairs of multipart fields "files[0].path", "files[0].file"); parents are created',
    query: Empty,
    bodyKind: 'multipart',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: ['BAD_REQUEST'],
  }),
  createFolder: defineOperation({
    method: 'POST',
    path: '/files/folder',
    summary: 'Create a directory and its parents',
    query: Type.Object({ path: Path, mode: Type.Optional(Type.String({ description: 'Octal, such as 755' })) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: [...fileErrors, 'FILE_EXISTS'],
  }),
  moveFile: defineOperation({
    method: 'POST',
    path: '/files/move',
    summary: 'Move or rename',
    query: Type.Object({ source: Path, destination: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: [...fileErrors, 'FILE_EXISTS'],
  }),
  deleteFile: defineOperation({
    method: 'DELETE',
    path: '/files',
    summary: 'Delete a file, or a directory when recursive',
    query: Type.Object({ path: Path, recursive: Type.Optional(Type.Boolean()) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: fileErrors,
  }),
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
} as const

export type ToolboxOperations = typeof toolboxOperations
