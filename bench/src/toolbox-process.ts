import { readdir, readFile } from 'node:fs/promises'

/** A sandbox's toolbox, seen from the host. */
export async function findToolbox(sandboxId: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Processes end while they are looked at.
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
    const command = await read('cmdline')
    // Its init has the same words behind its own.
    if (!command.endsWith('/toolbox/main.js\0') || command.includes('/tini\0')) continue
    if ((await read('environ')).split('\0').includes(`ATOLL_SANDBOX_ID=${sandboxId}`)) return Number(pid)
  }
  throw new Error(`no toolbox of ${sandboxId} was found`)
}
