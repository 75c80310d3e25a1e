import { readdir, readlink, realpath } from 'node:fs/promises'

/** Returns the live processes with this working directory, as all have that were started there. */
export async function processesIn(folder: string): Promise<number[]> {
  const path = await realpath(folder)
  const found: number[] = []
  for (const pid of (await readdir('/proc')).map(Number).filter(Number.isInteger)) {
    if ((await readlink(`/proc/${pid}/cwd`).catch(() => '')) === path) found.push(pid)
  }
  return found
}
