import { describe, expect, it } from 'vitest'
import {
  createAddressPlan,
  isOwnSubnet,
  MAX_SANDBOXES,
  networkNames,
  pickSubnet,
  sandboxAddress,
} from './address-plan.ts'
import { formatIpv4Block, parseIpv4Block } from './ipv4.ts'

describe('networkNames', () => {
  it('are the same for one instance, differ between two and fit into an interface name', () => {
    const names = networkNames('one')
    expect(networkNames('one')).toEqual(names)
    expect(networkNames('other').bridge).not.toBe(names.bridge)
    expect(`${names.portPrefix}${MAX_SANDBOXES}`.length).toBeLessThanOrEqual(15)
    expect(names.bridge.length).toBeLessThanOrEqual(15)
  })
})

describe('pickSubnet', () => {
  it('avoids everything taken, whether inside or around the pool', () => {
    const taken = ['10.200.0.0/14', '10.204.0.0/15', '10.206.0.0/16', '10.207.0.0/17', '10.207.128.9', '0.0.0.0/32']
    for (const random of [0, 0.5, 0.999]) {
      const subnet = pickSubnet(blocks(taken), () => random)
      expect(subnet && formatIpv4Block(subnet)).toMatch(/^10\.207\.(1[3-9]\d|2\d\d)\.0\/22$/)
      expect(subnet && isOwnSubnet(subnet)).toBe(true)
    }
  })

  it('moves to the next pool, and gives up when there is none', () => {
    expect(formatIpv4Block(pickSubnet(blocks(['10.0.0.0/8']), () => 0) ?? { base: 0, prefix: 0 })).toBe('172.24.0.0/22')
    expect(pickSubnet(blocks(['0.0.0.0/0']))).toBeUndefined()
  })
})

describe('sandboxAddress', () => {
  it('gives every sandbox an address of its own between gateway and broadcast', () => {
    const plan = createAddressPlan(networkNames('one'), { base: 0x0a_c8_04_00, prefix: 22 })
    const all = Array.from({ length: MAX_SANDBOXES }, (_, number) => sandboxAddress(plan, number))
    expect(plan.gateway).toBe('10.200.4.1')
    expect(all[0]).toMatchObject({ address: '10.200.4.2', mac: '02:a7:0a:c8:04:02' })
    expect(all.at(-1)?.address).toBe('10.200.7.254')
    expect(new Set(all.map(({ mac }) => mac)).size).toBe(MAX_SANDBOXES)
  })
})

function blocks(texts: string[]) {
  return texts.flatMap((text) => parseIpv4Block(text) ?? [])
}
