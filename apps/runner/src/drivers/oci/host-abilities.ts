import { readFile } from 'node:fs/promises'
import type { Ability, RunnerAbilities } from '@atoll/protocol'
import type { SandboxNetwork } from './network/sandbox-network.ts'
import { findProgram } from './pick-runtime.ts'

const YES: Ability = { available: true }

export interface AbilityFacts {
  snapshotDirectories: readonly string[]
  network: SandboxNetwork | undefined
  disk: 'image' | 'folder'
  diskFailure: string | undefined
}

/** Finds out which optional abilities this host has; the reason of a missing ability says what to do. */
export async function findAbilities(facts: AbilityFacts): Promise<RunnerAbilities> {
  const [images, zstd] = await Promise.all([needs('skopeo'), needs('zstd')])
  const { snapshotDirectories, network, disk, diskFailure = 'no disk images' } = facts
  return {
    images,
    builds: images.available ? await findBuilds(disk) : images,
    directories: snapshotDirectories.length > 0 ? YES : no('set ATOLL_SNAPSHOT_DIRECTORIES'),
    zstd,
    quotas: disk === 'image' ? YES : no(diskFailure),
    network: network?.reachesOutside ? YES : no(network?.limitation ?? 'switched off by ATOLL_SANDBOX_NETWORK=none'),
    claims: YES,
  }
}

/** Finds out whether this host can build: a build runs as the root of a user namespace, on a disk image of its own. */
async function findBuilds(disk: 'image' | 'folder'): Promise<Ability> {
  const buildah = await needs('buildah')
  if (!buildah.available) return buildah
  if (disk !== 'image') return no('builds need loop devices')
  const most = Number(await readFile('/proc/sys/user/max_user_namespaces', 'latin1').catch(() => '0'))
  return most > 0 ? YES : no('this kernel has no user namespaces: sysctl user.max_user_namespaces')
}

async function needs(program: string): Promise<Ability> {
  return (await findProgram(program)) === undefined ? no(`install the package ${program}`) : YES
}

function no(reason: string): Ability {
  return { available: false, reason }
}
