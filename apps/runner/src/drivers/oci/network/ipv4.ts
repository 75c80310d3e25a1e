/** A block of IPv4 addresses. Addresses are unsigned 32-bit numbers. */
export interface Ipv4Block {
  base: number
  /** Prefix length, 0 to 32. */
  prefix: number
}

/** Returns the number of a dotted address; undefined when the text is not one. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined
    value = value * 256 + Number(part)
  }
  return value
}

/** Returns the block of `a.b.c.d/n`, or of a lone address as /32; undefined when the text is neither. */
export function parseIpv4Block(text: string): Ipv4Block | undefined {
  const [address = '', prefixText = '32'] = text.split('/')
  const value = parseIpv4(address)
  const prefix = Number(prefixText)
  if (value === undefined || !Number.isInteger(prefix) || prefix < 0 || prefix > 32) return undefined
  return { base: value - (value % blockSize(prefix)), prefix }
}

/** Returns the dotted form of an address. */
export function formatIpv4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')
}

/** Returns a block as `a.b.c.d/n`. */
export function formatIpv4Block(block: Ipv4Block): string {
  return `${formatIpv4(block.base)}/${block.prefix}`
}

/** Returns the number of addresses in a block with this prefix length. */
export function blockSize(prefix: number): number {
  return 2 ** (32 - prefix)
}

/** Returns true when the two blocks share an address. */
export function blocksOverlap(one: Ipv4Block, other: Ipv4Block): boolean {
  return one.base < other.base + blockSize(other.prefix) && other.base < one.base + blockSize(one.prefix)
}
