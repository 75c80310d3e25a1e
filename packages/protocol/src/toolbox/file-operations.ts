import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineOperation } from '../operation.ts'
import { Empty, Nothing, Path } from './operation-parts.ts'

export const FileInfo = Type.Object(
  {
    name: Type.String({ description: 'Base name; bytes that are no UTF-8 are shown as U+FFFD, here and in path' }),
    path: Type.Optional(Type.String({ description: 'Absolute' })),
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

export const TextMatch = Type.Object(
  {
    file: Type.String({ description: 'Absolute; bytes that are no UTF-8 are shown as U+FFFD' }),
    line: Type.Integer({ description: 'From 1' }),
    content: Type.String({ description: 'The line without its end, at most its first 1024 bytes' }),
  },
  { $id: 'Match' },
)
export type TextMatch = Static<typeof TextMatch>

export const ReplaceRequest = Type.Object(
  {
    files: Type.Array(Type.String(), { description: 'Absolute, or relative to the work directory' }),
    pattern: Type.String({ minLength: 1, description: 'Literal text' }),
    newValue: Type.String(),
  },
  { $id: 'ReplaceRequest' },
)

export const ReplaceResult = Type.Object(
  {
    file: Type.String({ description: 'As it was asked for' }),
    success: Type.Boolean(),
    error: Type.Optional(Type.String()),
  },
  { $id: 'ReplaceResult' },
)
export type ReplaceResult = Static<typeof ReplaceResult>

const UploadedFile = Type.Object(
  {
    name: Type.String({ description: 'Base name' }),
    path: Type.String({ description: 'Absolute' }),
    type: Type.String({ description: 'Always file' }),
  },
  { $id: 'UploadedFile' },
)

const UploadedFiles = Type.Object({
  files: Type.Array(Type.Object({ path: Type.String(), bytes: Type.Integer() })),
})

/** Most levels that one listing goes down. */
export const MAX_LIST_DEPTH = 64

const fileErrors = ['FILE_NOT_FOUND', 'FILE_ACCESS_DENIED', 'INVALID_FILE_PATH'] as const

/** Files and folders. §15 of the contract. */
export const fileOperations = {
  listFiles: defineOperation({
    method: 'GET',
    path: '/files',
    summary: 'List a directory; with depth, what lies below its folders too, each after its folder',
    query: Type.Object({
      path: Type.Optional(Type.String()),
      depth: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: MAX_LIST_DEPTH,
          description: 'Levels; 1, the default, is the directory alone',
        }),
      ),
    }),
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
    output: UploadedFiles,
    errors: ['BAD_REQUEST'],
  }),
  uploadFileV2: defineOperation({
    method: 'POST',
    path: '/files/upload-v2',
    summary: 'Upload one file, as the multipart field "file" or as the bare body; parents are created',
    query: Type.Object({ path: Path }),
    bodyKind: 'binary',
    body: Empty,
    status: 200,
    output: UploadedFile,
    errors: [...fileErrors, 'DISK_FULL', 'FILE_WRITE_FAILED'],
  }),
  downloadFiles: defineOperation({
    method: 'POST',
    path: '/files/bulk-download',
    summary: 'Download several files as parts of one multipart/form-data answer, in order; a failure is a part too',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ paths: Type.Array(Type.String()) }, { $id: 'FilesDownloadRequest' }),
    status: 200,
    output: Type.String({ format: 'binary' }),
    errors: ['BAD_REQUEST'],
  }),
  findInFiles: defineOperation({
    method: 'GET',
    path: '/files/find',
    summary: 'Find a literal text in the lines of a file, or of all text files below a directory, in no set order',
    query: Type.Object({ path: Path, pattern: Type.String({ minLength: 1, description: 'Literal text' }) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(TextMatch),
    errors: [...fileErrors, 'FILE_READ_FAILED', 'REQUEST_TIMEOUT'],
  }),
  searchFiles: defineOperation({
    method: 'GET',
    path: '/files/search',
    summary: 'Find files and folders below a directory by base name (*, ?, [a-z], [^a-z], \\ before a literal one)',
    query: Type.Object({ path: Path, pattern: Type.String({ minLength: 1, maxLength: 1024 }) }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ files: Type.Array(Type.String()) }, { $id: 'SearchFilesResponse' }),
    errors: [...fileErrors, 'FILE_READ_FAILED', 'REQUEST_TIMEOUT'],
  }),
  replaceInFiles: defineOperation({
    method: 'POST',
    path: '/files/replace',
    summary: 'Replace a literal text wherever it stands in each of the files',
    query: Empty,
    bodyKind: 'json',
    body: ReplaceRequest,
    status: 200,
    output: Type.Array(ReplaceResult),
    errors: ['BAD_REQUEST'],
  }),
  setFilePermissions: defineOperation({
    method: 'POST',
    path: '/files/permissions',
    summary: 'Set mode, owner and group; what is not given stays',
    query: Type.Object({
      path: Path,
      mode: Type.Optional(Type.String({ description: 'Octal, such as 755' })),
      owner: Type.Optional(Type.String({ description: 'User name or id' })),
      group: Type.Optional(Type.String({ description: 'Group name or id' })),
    }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Nothing,
    errors: fileErrors,
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
} as const
