import { checkArgument } from './git-names.ts'

/** Makes git read paths from stdin: there may be more than fit into arguments, and none can be an option. */
export const FROM_STDIN = ['--pathspec-from-file=-', '--pathspec-file-nul'] as const

/** Returns the paths as git reads them from stdin. Throws VALIDATION_FAILED for a text that cannot be a path. */
export function pathList(files: readonly string[]): string {
  for (const file of files) checkArgument(file, 'body: files')
  return files.map((file) => `${file}\0`).join('')
}
