import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { baseName } from './file-info.ts'
import type { Leftovers } from './leftovers.ts'
import { saveUpload } from './save-upload.ts'

/** Saves the multipart field `file`, or the bare body if it is not a form; a link at the target is written through. */
export function createUploadV2(work: WorkDirectory, leftovers: Leftovers): Handler<ToolboxOperations['uploadFileV2']> {
  return async ({ queryBytes, headers, stream }) => {
    const type = headers['content-type']
    const isForm = typeof type === 'string' && /^\s*multipart\//i.test(type)
    const path = await saveUpload(work, leftovers, { given: queryBytes('path'), headers, stream, isForm })
    return { name: await baseName(path), path: path.toString(), type: 'file' }
  }
}
