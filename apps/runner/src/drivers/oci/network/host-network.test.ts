import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readNameservers } from './host-network.ts'

describe('readNameservers', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-resolv-'))
    await mkdir(join(folder, 'systemd/resolve'), { recursive: true })
  })
  afterEach(() => rm(folder, { recursive: true }))

  const read = (own: string[] = []) => readNameservers(own, folder, folder)
  const write = (path: string, text: string) => writeFile(join(folder, path), text)

  it("leaves out loopback, IPv6, nonsense and the host's own addresses", async () => {
    await write(
      'resolv.conf',
      '# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.1\nnameserver 192.0.2.9\nnameserver ::1\n nameserver 192.0.2.7 # here\nnameserver 999.1.1.1\n',
    )
    expect(await read(['192.0.2.9'])).toEqual(['192.0.2.7'])
  })

  it("falls back on systemd-resolved's upstream servers where the host only names its stub", async () => {
    await write('resolv.conf', 'nameserver 127.0.0.53\n')
    await write('systemd/resolve/resolv.conf', 'nameserver 192.0.2.8\n')
    expect(await read()).toEqual(['192.0.2.8'])
  })

  it('gives at most three, as resolvers ask no more', async () => {
    await write('resolv.conf', [1, 2, 3, 4].map((host) => `nameserver 192.0.2.${host}\n`).join(''))
    expect(await read()).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3'])
  })

  it('gives none where the host has none', async () => {
    expect(await read()).toEqual([])
  })
})
