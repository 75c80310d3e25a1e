import type { Handlers } from './call.ts'
import { createCreateFolder } from './files/create-folder.ts'
import { createDelete } from './files/delete.ts'
import { createDescribe } from './files/describe.ts'
import { createDownload } from './files/download.ts'
import { createList } from './files/list.ts'
import { createMove } from './files/move.ts'
import { createExecute } from './process/execute.ts'
import type { OutputPipes } from './process/output-pipes.ts'
import type { ProcessGroups } from './process/process-groups.ts'
import type { WorkDirectory } from './work-directory.ts'

/** What the handlers need of the world. */
export interface HandlerOptions {
  work: WorkDirectory
  groups: ProcessGroups
  pipes: OutputPipes
  /** What started commands inherit. */
  commandEnv: Readonly<Record<string, string>>
}

/** Every operation of the contract and what answers it. */
export function createHandlers({ work, groups, pipes, commandEnv }: HandlerOptions): Handlers {
  return {
    getProjectDir: async () => ({ dir: work.dir }),
    listFiles: createList(work),
    getFileInfo: createDescribe(work),
    downloadFile: createDownload(work),
    // Loaded on first use: the multipart parser weighs as much as all other handlers.
    uploadFile: async (call) => {
      const { createUpload } = await import('./files/upload.ts')
      return createUpload(work)(call)
    },
    uploadFiles: async (call) => {
      const { createBulkUpload } = await import('./files/bulk-upload.ts')
      return createBulkUpload(work)(call)
    },
    createFolder: createCreateFolder(work),
    moveFile: createMove(work),
    deleteFile: createDelete(work),
    executeCommand: createExecute({ work, groups, pipes, commandEnv }),
  }
}
