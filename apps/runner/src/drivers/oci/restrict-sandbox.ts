import { isDeepStrictEqual } from 'node:util'
import type { NetworkRules } from '@atoll/protocol'
import type { KnownSandbox } from './known-sandbox.ts'
import { keepRecord } from './known-sandbox.ts'
import { restrictionOf } from './network/restrictions.ts'
import type { OciHost } from './oci-host.ts'
import { currentSpec } from './sandbox-folder.ts'

/** The rules of a sandbox that never got any. */
const UNRESTRICTED: NetworkRules = { blockAll: false }

/** Records a sandbox's rules, and applies them at once where it runs. Throws BAD_REQUEST for a malformed block. */
export async function restrictSandbox({ network }: OciHost, sandbox: KnownSandbox, rules: NetworkRules): Promise<void> {
  restrictionOf(rules)
  // The rules are recorded first: after a crash a sandbox must not be less restricted than the caller asked for.
  const { networkRules = UNRESTRICTED } = currentSpec(sandbox.record)
  if (!isDeepStrictEqual(networkRules, rules)) await keepRecord(sandbox, { ...sandbox.record, networkRules: rules })
  if (sandbox.running) await network?.restrict(sandbox.sandboxId, rules)
}
