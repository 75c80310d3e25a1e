import { defineConfig } from 'vitest/config'

/** Tests of each workspace sit beside the code; `e2e` drives a started system and runs last, on its own. */
export default defineConfig({
  test: {
    projects: [
      project('protocol', 'packages/protocol'),
      project('tunnel', 'packages/tunnel'),
      project('service', 'packages/service'),
      project('dev-env', 'packages/dev-env'),
      project('api', 'apps/api', { globalSetup: ['./src/testing/start-postgres.ts'] }),
      project('runner', 'apps/runner'),
      project('toolbox', 'apps/toolbox'),
      project('cli', 'apps/cli', { testTimeout: 60_000 }),
      project('bench', 'bench'),
      project('e2e', 'e2e', { fileParallelism: false, testTimeout: 60_000, hookTimeout: 120_000 }),
    ],
  },
})

function project(name: string, root: string, extra: object = {}) {
  return { test: { name, root, include: ['src/**/*.test.ts'], testTimeout: 20_000, hookTimeout: 60_000, ...extra } }
}
