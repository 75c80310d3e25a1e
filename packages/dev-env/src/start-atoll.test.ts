import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startAtoll } from './start-atoll.ts'

it('names the apps that are not built', async () => {
  const checkout = mkdtempSync(join(tmpdir(), 'atoll-checkout-'))
  await expect(startAtoll({ checkout })).rejects.toThrow(
    'not built: api, runner, toolbox, cli, sandbox-tools; run: npx turbo run build',
  )
  rmSync(checkout, { recursive: true })
})
