import { readdir, readFile } from 'node:fs/promises'

/** Returns the ids of the processes whose command line names a folder. */
export async function processesOn(folder: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(
    // A process may end while we look.
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  )
  return pids.filter((_pid, index) => lines[index]?.includes(folder)).map(Number)
}
