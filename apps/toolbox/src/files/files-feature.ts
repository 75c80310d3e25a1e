import type { fileOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { createCreateFolder } from './create-folder.ts'
import { createDelete } from './delete.ts'
import { createDescribe } from './describe.ts'
import { createDownload } from './download.ts'
import { createLeftovers } from './leftovers.ts'
import { createList } from './list.ts'
import { createMove } from './move.ts'
import { createSearchLife } from './search/search-life.ts'

/** Reads, writes, moves, searches and deletes files and folders. */
export function createFilesFeature(parts: FeatureParts): Feature<typeof fileOperations> {
  const { work } = parts
  const leftovers = createLeftovers()
  const life = createSearchLife()
  return {
    handlers: {
      listFiles: createList(work),
      getFileInfo: createDescribe(work),
      downloadFile: createDownload(work),
      createFolder: createCreateFolder(work),
      moveFile: createMove(work),
      deleteFile: createDelete(work),
      // Loaded on first use: most sandboxes use few of these, and the multipart parser weighs as much as all above.
      downloadFiles: onFirstUse(async () => (await import('./bulk-download.ts')).createBulkDownload(work)),
      uploadFile: onFirstUse(async () => (await import('./upload.ts')).createUpload(work, leftovers)),
      uploadFileV2: onFirstUse(async () => (await import('./upload-v2.ts')).createUploadV2(work, leftovers)),
      uploadFiles: onFirstUse(async () => (await import('./bulk-upload.ts')).createBulkUpload(work, leftovers)),
      findInFiles: onFirstUse(async () => (await import('./search/find-text.ts')).createFindText(parts, life)),
      searchFiles: onFirstUse(async () => (await import('./search/search-names.ts')).createSearchNames(work, life)),
      replaceInFiles: onFirstUse(async () => (await import('./replace-text.ts')).createReplaceText(work, leftovers)),
      setFilePermissions: onFirstUse(async () => (await import('./set-permissions.ts')).createSetPermissions(work)),
    },
    // Uploads are answered after their last byte; a stalled sender has a deadline of its own.
    ownDeadline: ['uploadFile', 'uploadFiles', 'uploadFileV2'],
    async [Symbol.asyncDispose]() {
      life[Symbol.dispose]()
    },
  }
}

/** Makes the handler at its first call, once. */
function onFirstUse<Call, Reply>(load: () => Promise<(call: Call) => Promise<Reply>>): (call: Call) => Promise<Reply> {
  let loading: Promise<(call: Call) => Promise<Reply>> | undefined
  return async (call) => {
    loading ??= load()
    return (await loading)(call)
  }
}
