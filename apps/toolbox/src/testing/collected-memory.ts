import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Collects garbage and returns how many bytes this process holds in buffers. A test counts its own use from there: the
 * files of one worker share a process, and buffers of an earlier file may stay for long.
 */
export function collectedBufferBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().arrayBuffers
}
