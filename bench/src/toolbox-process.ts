import { readdir, readFile } from 'node:fs/promises'

/** Returns the process number of a sandbox's toolbox on the host. */
export async function findToolbox(sandboxId: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // A process may end while it is read.
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
    const command = await read('cmdline')
    // The command of the toolbox's init ends with the same words.
    if (!command.endsWith('/toolbox/main.js\0') || command.includes('/tini\0')) continue
    if ((await read('environ')).split('\0').includes(`ATOLL_SANDBOX_ID=${sandboxId}`)) return Number(pid)
  }
  throw new Error(`no toolbox of ${sandboxId} was found`)
}
