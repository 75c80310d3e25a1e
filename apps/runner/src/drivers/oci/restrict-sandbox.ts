import { isDeepStrictEqual } from 'node:util'
import type { NetworkRules } from '@atoll/protocol'
import type { KnownSandbox } from './known-sandbox.ts'
import { keepRecord } from './known-sandbox.ts'
import { restrictionOf } from './network/restrictions.ts'
import type { OciHost } from './oci-host.ts'
import { currentSpec } from './sandbox-folder.ts'

/** The rules of a sandbox that was never given any. */
const UNRESTRICTED: NetworkRules = { blockAll: false }

/** Gives a sandbox its rules, which last, at once where it runs. Throws BAD_REQUEST for a block that is none. */
export async function restrictSandbox({ network }: OciHost, sandbox: KnownSandbox, rules: NetworkRules): Promise<void> {
  restrictionOf(rules)
  // Written down first: after a crash a sandbox must not be less restricted than it was asked to be.
  const { networkRules = UNRESTRICTED } = currentSpec(sandbox.record)
  if (!isDeepStrictEqual(networkRules, rules)) await keepRecord(sandbox, { ...sandbox.record, networkRules: rules })
  if (sandbox.running) await network?.restrict(sandbox.sandboxId, rules)
}
