import type { Runner, RunnerState } from '@atoll/protocol'
import type { RunnerWithUse } from './runner-registry-store.ts'
import { SILENCE_LIMIT_MS } from './runner-session.ts'
import type { RunnerRow } from './runner-table.ts'

/** The version of the interface between a runner and the API. */
const API_VERSION = '2'

/** Returns a runner as clients see it, at `now` (milliseconds since the epoch). */
export function toRunner({ runner, used, started, ...taken }: RunnerWithUse, now: number): Runner {
  const { id, name, region, tags, unschedulable, draining, proxyUrl, lastSeenAt } = runner
  return {
    ...{ id, name, region, tags, unschedulable, draining, used },
    domain: runner.domain ?? name,
    apiUrl: runner.apiUrl ?? '',
    ...(proxyUrl === null ? {} : { proxyUrl }),
    apiKey: '',
    cpu: runner.cpu ?? 0,
    memory: runner.memoryGib ?? 0,
    disk: runner.diskGib ?? 0,
    gpu: runner.gpu,
    gpuType: runner.gpuType ?? '',
    class: runner.class ?? 'small',
    capacity: runner.capacity ?? 0,
    state: stateOf(runner, used, now),
    ...(lastSeenAt === null ? {} : { lastChecked: lastSeenAt.toISOString() }),
    version: runner.version ?? '',
    ...(runner.version === null ? {} : { appVersion: runner.version }),
    ...{ apiVersion: API_VERSION, runnerClass: 'container', sandboxClass: 'container' },
    currentAllocatedCpu: taken.cpu,
    currentAllocatedMemoryGiB: taken.memoryGib,
    currentAllocatedDiskGiB: taken.diskGib,
    currentStartedSandboxes: started,
    currentSnapshotCount: runner.snapshots.length,
    createdAt: runner.createdAt.toISOString(),
    updatedAt: runner.updatedAt.toISOString(),
  }
}

/** Returns the state: `decommissioned` for a draining runner that is empty, `initializing` for one that never sent its info. */
export function stateOf(
  runner: Pick<RunnerRow, 'draining' | 'version' | 'lastSeenAt'>,
  used: number,
  now: number,
): RunnerState {
  if (runner.draining && used === 0) return 'decommissioned'
  if (runner.version === null) return 'initializing'
  const isHeard = runner.lastSeenAt !== null && now - runner.lastSeenAt.getTime() < SILENCE_LIMIT_MS
  return isHeard ? 'ready' : 'unresponsive'
}
