import type { TestProject } from 'vitest/node'
import { startSystem } from './system.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of the system that the files of the run share, such as `http://127.0.0.1:1234`. */
    sharedUrl: string
    sharedApiKey: string
  }
}

/**
 * Starts one system for the whole run, for the files that neither restart it nor count its contents: a start takes seconds
 * of every core. If it leaves something on the host when it ends, the run fails.
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
