import type { systemOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import { version } from '../version.ts'
import { createSystemMetrics } from './system-metrics.ts'

/** Returns the toolbox's folders, version and system metrics, and changes the environment of commands. */
export function createSystemFeature({ work, environment }: FeatureParts): Feature<typeof systemOperations> {
  const systemMetrics = createSystemMetrics()
  return {
    handlers: {
      getProjectDir: async () => ({ dir: work.project }),
      getWorkDir: async () => ({ dir: work.dir }),
      getUserHomeDir: async () => ({ dir: work.home }),
      getVersion: async () => ({ version }),
      updateEnv: async ({ body }) => {
        environment.change(body)
        return undefined
      },
      getSystemMetrics: systemMetrics,
    },
  }
}
