import type { TestProject } from 'vitest/node'
import { startSystem } from './system.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the system that the run's files share, such as `http://127.0.0.1:1234`. */
    sharedUrl: string
    sharedApiKey: string
  }
}

/**
 * One system for the whole run, for the files that neither restart it nor count what is in it: a start takes seconds
 * of every core. Ending it leaves nothing on the host, or the run fails.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const system = await startSystem()
  project.provide('sharedUrl', system.atoll.url)
  project.provide('sharedApiKey', system.atoll.apiKey)
  return async () => {
    const leftovers = await system.end()
    if (leftovers.length > 0) throw new Error(`the shared system left on the host: ${JSON.stringify(leftovers)}`)
  }
}
