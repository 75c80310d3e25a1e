import { join } from 'node:path'
import { loadUpConfig } from '../config.ts'
import { StartError } from '../up/start-error.ts'
import { up } from '../up/up.ts'

/** `atoll up` for up.test.ts, with stand-ins for the API and the runner. */
const testing = process.argv[2] ?? '.'

try {
  process.exit(
    await up({
      config: loadUpConfig(process.env, '/nowhere'),
      env: process.env,
      version: '0.0.0',
      apiMain: join(testing, 'stand-in-api.mjs'),
      runnerMain: join(testing, 'stand-in-runner.mjs'),
    }),
  )
} catch (error) {
  console.error(error instanceof StartError ? error.message : error)
  process.exit(1)
}
