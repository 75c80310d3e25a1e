import type { NetworkRules } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { runCommand } from '../../../run-command.ts'
import type { Ipv4Block } from './ipv4.ts'
import { blocksOverlap, formatIpv4Block, parseIpv4Block } from './ipv4.ts'

/** The restriction of one sandbox's packets: all are blocked, or all but those to some blocks; undefined: none is. */
export type Restriction = 'blocked' | { allowed: readonly Ipv4Block[] } | undefined

/** Sets of the inet table that hold the restrictions, as firewall-rules.ts declares them. */
export const RESTRICTION_SETS = ['blocked', 'restricted', 'allowed'] as const

/** Returns the restriction that the rules mean. Throws BAD_REQUEST for a malformed block. */
export function restrictionOf(rules: NetworkRules | undefined): Restriction {
  if (rules === undefined) return undefined
  const blocks = (rules.allowList ?? []).map((text) => {
    const block = parseIpv4Block(text)
    if (block === undefined)
      throw new AppError('BAD_REQUEST', `${JSON.stringify(text)} is not a block of IPv4 addresses`)
    return block
  })
  if (rules.blockAll) return 'blocked'
  if (rules.allowList === undefined || blocks.some(({ prefix }) => prefix === 0)) return undefined
  return { allowed: withoutContained(blocks) }
}

/** Returns the elements of the sets for a sandbox's address. */
export function restrictionElements(address: string, restriction: Restriction): Record<string, string[]> {
  if (restriction === undefined) return { blocked: [], restricted: [], allowed: [] }
  if (restriction === 'blocked') return { blocked: [address], restricted: [], allowed: [] }
  const allowed = restriction.allowed.map((block) => `${address} . ${formatIpv4Block(block)}`)
  return { blocked: [], restricted: [address], allowed }
}

/** The restrictions in force, by address. Each change is made at once or not at all. */
export interface Restrictions {
  set(address: string, restriction: Restriction): Promise<void>
}

/** Keeps the restrictions of a table, which was made with `initial`. Changes throw CommandError. */
export function createRestrictions(table: string, initial: ReadonlyMap<string, Restriction>): Restrictions {
  const inForce = new Map(initial)
  return {
    set: async (address, restriction) => {
      const before = restrictionElements(address, inForce.get(address))
      const after = restrictionElements(address, restriction)
      const command = (verb: string, elements: Record<string, string[]>) =>
        RESTRICTION_SETS.flatMap((name) => {
          const list = elements[name] ?? []
          return list.length === 0 ? [] : [`${verb} element inet ${table} ${name} { ${list.join(', ')} }\n`]
        })
      const commands = [...command('delete', before), ...command('add', after)]
      if (commands.length > 0) await runCommand(['nft', '-f', '-'], { input: commands.join('') })
      if (restriction === undefined) inForce.delete(address)
      else inForce.set(address, restriction)
    },
  }
}

/** Leaves out blocks that another block contains: of two blocks that share an address, one contains the other. */
function withoutContained(blocks: readonly Ipv4Block[]): Ipv4Block[] {
  const largestFirst = [...blocks].sort((one, other) => one.prefix - other.prefix)
  return largestFirst.filter(
    (block, index) => !largestFirst.slice(0, index).some((larger) => blocksOverlap(larger, block)),
  )
}
