import { open } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'

/** The highest id: Linux reserves the next one for "unchanged". */
const MAX_ID = 0xff_ff_ff_fe
/** Bytes read of /etc/passwd or /etc/group; later entries are not looked at. */
const MAX_DATABASE_BYTES = 4 * 1024 * 1024

/**
 * Returns the id of a user or group, given by its name in /etc/passwd or /etc/group, or by its number. A name of digits
 * in the file wins, as with chown. Throws BAD_REQUEST for an unknown one.
 */
export async function readId(kind: 'user' | 'group', nameOrId: string): Promise<number> {
  const listed = await lookUp(kind === 'user' ? '/etc/passwd' : '/etc/group', nameOrId)
  if (listed !== undefined) return listed
  const id = /^\d{1,10}$/.test(nameOrId) ? Number(nameOrId) : Number.NaN
  if (!(id <= MAX_ID)) throw new AppError('BAD_REQUEST', `unknown ${kind}: ${nameOrId.slice(0, 64)}`)
  return id
}

async function lookUp(database: string, name: string): Promise<number | undefined> {
  const lines = (await readStart(database)).split('\n').map((line) => line.split(':'))
  const id = lines.find((fields) => fields[0] === name)?.[2]
  return id !== undefined && /^\d{1,10}$/.test(id) && Number(id) <= MAX_ID ? Number(id) : undefined
}

/** Returns an empty text where there is no such file, as in an image of one program. */
async function readStart(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, MAX_DATABASE_BYTES)))
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}
