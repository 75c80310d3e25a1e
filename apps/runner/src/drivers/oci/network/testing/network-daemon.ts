import type { NetworkRules } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { runCommand } from '../../../../run-command.ts'
import { CONNECT_NETWORK, connectionVariables } from '../connect-network.ts'
import { createSandboxNetwork } from '../sandbox-network.ts'

/**
 * A runner's network in a process of its own, so that a test can give it a host's namespace and kill it.
 * argv[2] is the instance id, argv[3] the rules of existing sandboxes; each message is one call and gets one answer.
 */
const rules: Record<string, NetworkRules> = JSON.parse(process.argv[3] ?? '{}')
const network = await createSandboxNetwork({
  instanceId: process.argv[2] ?? '',
  rulesOf: (sandboxId) => rules[sandboxId],
  log: createLogger('network', 'warn'),
})

process.on('message', (call: NetworkCall) => {
  answer(call).then(
    (value) => process.send?.({ value }),
    (error) => process.send?.({ error: String(error) }),
  )
})
// Ends with its test; its devices and rules are removed with the test's namespaces.
process.once('disconnect', () => process.exit(0))
process.send?.({ value: { limitation: network.limitation, reachesOutside: network.reachesOutside } })

/** A call that a test may make. */
export type NetworkCall =
  | { name: 'attach'; sandboxId: string; pid: number; rules?: NetworkRules }
  | { name: 'restrict'; sandboxId: string; rules: NetworkRules }
  | { name: 'release'; sandboxId: string }
  | { name: 'reconcile'; sandboxIds: string[] }
  | { name: 'resolvConf' }
  | { name: 'dispose' }

/** Attaches a sandbox as a start does: the rules are in force before a program runs there. */
async function attach({ sandboxId, pid, rules }: Extract<NetworkCall, { name: 'attach' }>): Promise<void> {
  const connection = await network.attach(sandboxId)
  try {
    await network.restrict(sandboxId, rules)
    const script = `set -eu\n${CONNECT_NETWORK}\nconnect_network`
    const variables = Object.entries(connectionVariables(connection)).map(([name, value]) => `${name}=${value}`)
    await runCommand(['nsenter', `--net=/proc/${pid}/ns/net`, 'env', ...variables, 'sh', '-c', script])
  } catch (error) {
    await network.release(sandboxId)
    throw error
  }
}

async function answer(call: NetworkCall): Promise<unknown> {
  switch (call.name) {
    case 'attach':
      return attach(call)
    case 'restrict':
      return network.restrict(call.sandboxId, call.rules)
    case 'release':
      return network.release(call.sandboxId)
    case 'reconcile':
      return network.reconcile(call.sandboxIds)
    case 'resolvConf':
      return network.resolvConf()
    case 'dispose':
      return network[Symbol.asyncDispose]()
  }
}
