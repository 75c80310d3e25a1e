import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError, tellSupervisor } from '@atoll/service'
import { Command } from 'commander'
import { loadUpConfig } from './config.ts'
import { StartError } from './up/start-error.ts'
import { up } from './up/up.ts'

const checkout = dirname(dirname(dirname(import.meta.dirname)))
const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }

const program = new Command('atoll').description('A control plane for code sandboxes').version(version)
program
  .command('up')
  .description('run the whole system on this machine: database, API and runner')
  .action(async () => {
    process.exit(
      await up({
        config: loadUpConfig(process.env, checkout),
        env: process.env,
        version,
        apiMain: join(checkout, 'apps/api/dist/main.js'),
        runnerMain: join(checkout, 'apps/runner/dist/main.js'),
      }),
    )
  })

try {
  await program.parseAsync()
} catch (error) {
  // Only an unexpected error is printed with its stack trace.
  const expected = error instanceof StartError || error instanceof ConfigError
  console.error(expected ? `atoll: ${error.message}` : error)
  await tellSupervisor({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}
