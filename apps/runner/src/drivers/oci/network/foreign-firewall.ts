import { CommandError, runCommand } from '../../../run-command.ts'

/** The FORWARD chain of an iptables without any rule. */
const UNTOUCHED_FORWARD = '-P FORWARD ACCEPT'

/**
 * Lets our bridge through a host firewall that drops forwarded packets, as Docker's and ufw's do: an accept in our table does
 * not overrule a drop in another. Our own tables still decide what sandboxes may reach, because no accept elsewhere undoes
 * their drops. Does nothing where the host has no such firewall.
 */
export async function passForeignFirewall(bridge: string): Promise<void> {
  await closeForeignFirewall(bridge)
  const forward = await listRules('FORWARD')
  if (forward.length === 0 || (forward.length === 1 && forward[0] === UNTOUCHED_FORWARD)) return
  const chain = forward.some((rule) => rule.endsWith('-j DOCKER-USER')) ? 'DOCKER-USER' : 'FORWARD'
  await runCommand(['iptables', '-w', '-I', chain, '-i', bridge, '-j', 'ACCEPT'])
  await runCommand(['iptables', '-w', '-I', chain, '-o', bridge, '-j', 'ACCEPT'])
}

/** Removes our rules from the host's firewall. */
export async function closeForeignFirewall(bridge: string): Promise<void> {
  const ours = (await listRules()).filter((rule) => / -[io] (\S+) -j ACCEPT$/.exec(rule)?.[1] === bridge)
  for (const rule of ours) await runCommand(['iptables', '-w', '-D', ...rule.split(' ').slice(1)])
}

/** Returns the rules of one chain or of all, in iptables' own syntax; none where the host has no iptables. */
async function listRules(chain?: string): Promise<string[]> {
  try {
    const { stdout } = await runCommand(['iptables', '-w', '-S', ...(chain === undefined ? [] : [chain])])
    return stdout.split('\n').filter((rule) => rule !== '')
  } catch (error) {
    if (error instanceof CommandError) return []
    throw error
  }
}
