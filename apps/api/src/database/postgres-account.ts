import { readFile } from 'node:fs/promises'

/**
 * The way programs of PostgreSQL are run: through setpriv, so that they end with the process that started them even
 * when it is killed; and under a system account when we are root, since they refuse to run as root.
 */
export interface PostgresAccount {
  /** The owner of the data folder; undefined when the programs run as our own user. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** Whether the programs may read below folders that are closed to their account. */
  readonly readsEverywhere: boolean
  /** The arguments of setpriv before the program. */
  readonly setprivArgs: readonly string[]
}

/** The first account that exists is taken; every Linux has `nobody`. */
const SYSTEM_ACCOUNTS = ['postgres', 'nobody']

/** Bit of CAP_DAC_READ_SEARCH in the masks of /proc/self/status. */
const DAC_READ_SEARCH_BIT = 2n

/** SIGINT asks PostgreSQL for a fast shutdown: transactions are rolled back and the data folder is left clean. */
const END_WITH_PARENT = ['--pdeathsig', 'INT']

/**
 * Decides how PostgreSQL runs here. `dataOwner` is the owner of an existing data folder. The checkout and the data
 * folder may lie in the home of root, which only root may enter, so the account keeps the one capability to read and
 * search everywhere; `no_setuid_fixup` makes access(2), which initdb relies on, honour it.
 */
export async function choosePostgresAccount(dataOwner?: { uid: number; gid: number }): Promise<PostgresAccount> {
  if (process.getuid?.() !== 0) return { owner: undefined, readsEverywhere: true, setprivArgs: END_WITH_PARENT }
  const owner = dataOwner !== undefined && dataOwner.uid !== 0 ? dataOwner : await findSystemAccount()
  const readsEverywhere = await mayGiveReadSearch()
  const capabilities = readsEverywhere ? '-all,+dac_read_search' : '-all'
  return {
    owner,
    readsEverywhere,
    setprivArgs: [
      ...['--reuid', String(owner.uid), '--regid', String(owner.gid), '--clear-groups'],
      ...['--securebits', '+no_setuid_fixup', '--no-new-privs'],
      ...['--inh-caps', capabilities, '--ambient-caps', capabilities, '--bounding-set', capabilities],
      ...END_WITH_PARENT,
    ],
  }
}

async function findSystemAccount(): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of SYSTEM_ACCOUNTS) {
    const [, , uid, gid] = lines.find((fields) => fields[0] === name) ?? []
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(`PostgreSQL refuses to run as root, and there is no account ${SYSTEM_ACCOUNTS.join(' or ')} here`)
}

/** Whether the capability can be passed on: containers often run root without it. */
async function mayGiveReadSearch(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8')
  const permitted = /^CapPrm:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return ((BigInt(`0x${permitted}`) >> DAC_READ_SEARCH_BIT) & 1n) === 1n
}
