import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * What this process holds in buffers once garbage is collected, in bytes: what a test's own use is counted from. Files
 * of one worker share a process, and what an earlier one used may be there for long.
 */
export function collectedBufferBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().arrayBuffers
}
