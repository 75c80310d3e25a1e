import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { Leftovers } from './leftovers.ts'
import { saveUpload } from './save-upload.ts'

/** Saves the multipart field `file`; a link at the target is written through. */
export function createUpload(work: WorkDirectory, leftovers: Leftovers): Handler<ToolboxOperations['uploadFile']> {
  return async ({ queryBytes, headers, stream }) => {
    await saveUpload(work, leftovers, { given: queryBytes('path'), headers, stream, isForm: true })
  }
}
