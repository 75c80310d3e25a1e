/**
 * How Node is started for a process that large bodies pass through. Every 64 KiB that Node reads is a buffer of its
 * own, and V8 starts to mark the whole heap when some 10 MiB of them are alive, so they must be gone before: a small
 * young generation (in MiB) has them collected each 4 MiB, and they are freed in that very collection instead of later
 * by a thread that finds no free core. Halves the processor time of bulk.
 */
export const bulkNodeOptions: readonly string[] = ['--max-semi-space-size=2', '--no-concurrent-array-buffer-sweeping']

/**
 * In bytes, for the GNU C library: freed buffers stay with the process up to the first, and what is smaller than the
 * second never comes from the kernel by itself, so that its pages are not faulted in again for each buffer.
 */
export const bulkEnvironment: Readonly<Record<string, string>> = {
  MALLOC_TRIM_THRESHOLD_: String(16 * 2 ** 20),
  MALLOC_MMAP_THRESHOLD_: String(2 ** 20),
}
