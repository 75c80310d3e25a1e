import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { filterAnnotations, readSeccompFilter } from './seccomp-filter.ts'

it('a filter is taken from the state of a container, and only where there is one', async () => {
  const state = await mkdtemp(join(tmpdir(), 'atoll-filter-'))
  try {
    expect(await readSeccompFilter(state)).toBeUndefined()
    await writeFile(join(state, 'seccomp.bpf'), '')
    expect(await readSeccompFilter(state)).toBeUndefined()
    await writeFile(join(state, 'seccomp.bpf'), Buffer.from([6, 0, 0, 0, 0, 0, 255, 127]))
    expect(await readSeccompFilter(state)).toBe('BgAAAAAA/38=')
  } finally {
    await rm(state, { recursive: true })
  }
})

it('a container without a filter has no annotation of one', () => {
  expect(filterAnnotations(undefined)).toEqual({})
  expect(filterAnnotations('BgAAAAAA/38=')).toEqual({ 'run.oci.seccomp_bpf_data': 'BgAAAAAA/38=' })
})
