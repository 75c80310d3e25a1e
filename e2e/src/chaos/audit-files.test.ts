import { expect, it } from 'vitest'
import { auditFiles, auditUnread } from './audit-files.ts'
import type { KnownSandbox, Ledger } from './ledger.ts'
import { createLedger, freshFile } from './ledger.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import { createTally } from './tally.ts'

/** A sandbox that was made and has two files. */
function withFiles(ledger: Ledger, name: string): KnownSandbox {
  const sandbox = Object.assign(ledger.add(name), { id: name, existence: 'there' as const, hasRun: true })
  for (const _ of [1, 2]) freshFile(sandbox)
  return sandbox
}

/** Calls of sandboxes that run but for those that are lost for good; a file that is not readable says so. */
function callsOf({ unreadable }: { unreadable: string }): SandboxCalls {
  const calls: Partial<SandboxCalls> = {
    look: async ({ mayBeLost }) => (mayBeLost ? 'error' : 'started'),
    command: async () => ({ kind: 'refused', status: 400, code: 'SANDBOX_STATE_CONFLICT', message: 'not recoverable' }),
    execute: async () => '',
    check: async (_, { path }) => path !== unreadable,
  }
  return calls as SandboxCalls
}

it('finds files that nobody has read back, those of a sandbox that was lost unread among them', async () => {
  const ledger = createLedger()
  const tally = createTally()
  const scene = { calls: callsOf({ unreadable: '/home/daytona/kept/2' }), tally, options: { settleMs: 1_000 } }
  withFiles(ledger, 'kept')
  const lost = withFiles(ledger, 'lost')
  Object.assign(lost, { mayBeLost: true })
  expect(await auditFiles(scene, ledger.sandboxes)).toEqual({ files: 1, states: { started: 1, error: 1 } })
  expect(tally.problems).toEqual(['/home/daytona/kept/2 of kept (kept) could not be read'])
  expect(auditUnread(ledger)).toEqual([
    '1 files of kept (kept) were never read back',
    '2 files of lost (lost) were never read back',
  ])
  const all = { ...scene, calls: callsOf({ unreadable: '' }) }
  Object.assign(lost, { mayBeLost: false })
  expect(await auditFiles(all, ledger.sandboxes)).toEqual({ files: 4, states: { started: 2 } })
  // It may be lost once it was read.
  Object.assign(lost, { mayBeLost: true })
  await auditFiles(all, ledger.sandboxes)
  expect(auditUnread(ledger)).toEqual([])
})
