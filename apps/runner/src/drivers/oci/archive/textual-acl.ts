/** Names of the records in which tar and star write ACLs as text, and of those that hold the kernel's form. */
const KERNEL_NAMES = {
  'SCHILY.acl.access': 'SCHILY.xattr.system.posix_acl_access',
  'SCHILY.acl.default': 'SCHILY.xattr.system.posix_acl_default',
} as const

/** The kernel's form: a version, then entries of a tag, permissions and an id, in the order of their tags. */
const VERSION = 2
const HEADER_BYTES = 4
const ENTRY_BYTES = 8
const TAGS = { user: 0x01, namedUser: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const
/** The id of an entry that names nobody. */
const NO_ID = 0xff_ff_ff_ff

/** `group:33:r-x`; star adds the number after a name: `user:lisa:rwx:1000`. */
const ENTRY = /^(user|group|mask|other):([^:]*):([rwx-]{1,3})(?::(\d{1,10}))?(?:[\s#]|$)/
const NUMBER = /^\d{1,10}$/

interface AclEntry {
  tag: number
  permissions: number
  id: number
}

/** Returns the records of ACLs that an entry of an archive has as text, in the kernel's form, which tar unpacks unchanged. */
export function kernelAcls(extended: ReadonlyMap<string, string>): Map<string, string> {
  const found = new Map<string, string>()
  for (const [textual, name] of Object.entries(KERNEL_NAMES)) {
    const text = extended.get(textual)
    if (text !== undefined && !extended.has(name)) found.set(name, kernelForm(text))
  }
  return found
}

/**
 * Returns an ACL in the kernel's form, a byte in each character. It lacks entries for users and groups without a number: only the
 * host that packed them knows whom their names mean. The mask and the owning group's entry stay, so that no group gains by it.
 * The kernel checks the result.
 */
function kernelForm(text: string): string {
  const entries = text.split(/[\n,]/).flatMap((line) => parseEntry(line.trim()) ?? [])
  entries.sort((one, other) => one.tag - other.tag)
  const bytes = Buffer.alloc(HEADER_BYTES + ENTRY_BYTES * entries.length)
  bytes.writeUInt32LE(VERSION)
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    const at = HEADER_BYTES + ENTRY_BYTES * index
    bytes.writeUInt16LE(tag, at)
    bytes.writeUInt16LE(permissions, at + 2)
    bytes.writeUInt32LE(id, at + 4)
  }
  return bytes.toString('latin1')
}

function parseEntry(line: string): AclEntry | undefined {
  const [, kind, name = '', letters = '', number] = ENTRY.exec(line) ?? []
  const permissions = [...'xwr'].reduce((sum, letter, bit) => sum + (letters.includes(letter) ? 1 << bit : 0), 0)
  if (kind === 'mask' || kind === 'other') return { tag: TAGS[kind], permissions, id: NO_ID }
  if (kind !== 'user' && kind !== 'group') return undefined
  if (name === '') return { tag: TAGS[kind], permissions, id: NO_ID }
  const id = Number(number ?? (NUMBER.test(name) ? name : Number.NaN))
  // Not a number fails the comparison, too.
  if (!(id < NO_ID)) return undefined
  return { tag: kind === 'user' ? TAGS.namedUser : TAGS.namedGroup, permissions, id }
}
