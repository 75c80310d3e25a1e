import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { FileOrder } from './scripts/gates/file-order.mjs'

/**
 * Ends a test that hangs where none of its own waits has a deadline; those are shorter and say what was awaited.
 * Far above what any test takes, so that a slow or busy machine changes no result.
 */
const TIMEOUTS = { testTimeout: 60_000, hookTimeout: 60_000 }

/** Where a test may start several processes: databases, sandboxes, whole systems, which may take 120 s to be ready. */
const PROCESS_TIMEOUTS = { testTimeout: 180_000, hookTimeout: 180_000 }

/** How long `expect.poll` asks where a test does not say; vitest's own second is over soon on a busy machine. */
const POLL = { poll: { timeout: 30_000, interval: 20 } }

// vitest leaves a core free, which of two is half: tests wait more than they compute.
const WORKERS = Math.max(2, availableParallelism() - 1)

/** Tests of each workspace sit beside the code; `e2e` drives a started system and runs last, on its own. */
export default defineConfig({
  test: {
    maxWorkers: WORKERS,
    sequence: { sequencer: FileOrder },
    projects: [
      project('protocol', 'packages/protocol'),
      project('tunnel', 'packages/tunnel'),
      project('service', 'packages/service'),
      project('dev-env', 'packages/dev-env'),
      project('api', 'apps/api', { ...PROCESS_TIMEOUTS, globalSetup: ['./src/testing/start-postgres.ts'] }),
      project('runner', 'apps/runner', PROCESS_TIMEOUTS),
      project('toolbox', 'apps/toolbox', PROCESS_TIMEOUTS),
      project('cli', 'apps/cli', PROCESS_TIMEOUTS),
      project('bench', 'bench'),
      project('e2e', 'e2e', {
        // One more: a file that waits for a timer of a minute keeps none from running.
        maxWorkers: WORKERS + 1,
        sequence: { groupOrder: 1 },
        ...PROCESS_TIMEOUTS,
        globalSetup: ['./src/testing/start-shared-system.ts'],
        // SDK 0.17 reads .env files and says so.
        env: { DOTENV_CONFIG_QUIET: 'true' },
      }),
    ],
  },
})

function project(name: string, root: string, extra: object = {}) {
  // Files of a worker share what they import: it takes longer to load than most of them run.
  return { test: { name, root, include: ['src/**/*.test.ts'], isolate: false, expect: POLL, ...TIMEOUTS, ...extra } }
}
