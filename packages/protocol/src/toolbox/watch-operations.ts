import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineChannel } from '../operation.ts'
import { Path } from './operation-parts.ts'

/** Most patterns that one watch may ignore, and the most characters of all together. */
export const MAX_IGNORE_PATTERNS = 64
export const MAX_IGNORE_LENGTH = 8192

/** The watch feature has no operations, only a channel. */
export const watchOperations = {} as const

export const FileChange = Type.Object({
  type: Type.Union([Type.Literal('created'), Type.Literal('changed'), Type.Literal('deleted')]),
  path: Type.String({ description: 'Absolute' }),
  isDir: Type.Boolean(),
})
export type FileChange = Static<typeof FileChange>

/** The messages that the server sends. */
export const WatchMessage = Type.Union([
  Type.Object({ type: Type.Literal('ready'), path: Type.String() }),
  Type.Object({ type: Type.Literal('changes'), changes: Type.Array(FileChange) }),
  Type.Object({ type: Type.Literal('rescan'), path: Type.String() }),
  Type.Object({ type: Type.Literal('error'), error: Type.String() }),
])
export type WatchMessage = Static<typeof WatchMessage>

/** Changes of files, as they happen. Atoll's own. */
export const watchChannels = {
  watchFiles: defineChannel({
    path: '/files/watch',
    summary: 'Watch a file or folder for changes',
    description: `
All messages come from the server, as text; what the client sends is ignored. The watch ends with the socket.

- \`{"type":"ready","path":"/home/daytona/project"}\` once everything below \`path\` is watched: what is listed after it
  misses nothing. The path is the one asked for, made absolute, and that of every change starts with it.
- \`{"type":"changes","changes":[{"type":"created","path":"…","isDir":false}]}\` with up to 1,000 changes, put together
  for 50 ms: \`created\`, \`changed\` or \`deleted\`, one for each path and kind. A file that came and went meanwhile is not
  told, one that was replaced has \`changed\`; a move is one \`deleted\` and one \`created\`. The deletion of a folder stands
  for all that was in it; of a new folder all contents are told.
- \`{"type":"rescan","path":"…"}\` when changes came faster than the client or the system took them (over 10,000 at once):
  what was not told yet is dropped, and the client should list \`path\` anew.
- \`{"type":"error","error":"…"}\` when the path cannot be watched (any more); the close follows, with 1008 for what the
  client asked and 1011 for what the system lacks.

Links are told of as such and not followed, but for \`path\` itself. Where it is deleted, it is watched for again, and
told as \`created\` and \`rescan\`.`,
    query: Type.Object({
      path: Path,
      recursive: Type.Optional(
        Type.Boolean({ description: 'Whether folders below are watched too; false without it' }),
      ),
      ignore: Type.Optional(
        Type.String({
          maxLength: MAX_IGNORE_LENGTH,
          description:
            'Patterns separated by commas, such as node_modules,*.log,build/**. One without a slash is for names ' +
            'anywhere, one with a slash for paths below the watched one. What is ignored is not looked into.',
        }),
      ),
    }),
    errors: ['BAD_REQUEST', 'VALIDATION_FAILED'],
  }),
} as const
