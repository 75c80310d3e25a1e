/** The `ip` batches that connect a sandbox's network namespace: first for inside of it, then for the runner's namespace. */
export interface NetworkConnection {
  inside: string
  /** Batch for the runner's namespace; empty where there is nothing to do. */
  outside: string
}

/**
 * Shell function for scripts: `connect_network`, called in the sandbox's network namespace with the variables below, which
 * may be unset afterwards.
 */
export const CONNECT_NETWORK = `
connect_network() {
  printf %s "$NETWORK_INSIDE" | ip -batch -
  if [ -z "$NETWORK_OUTSIDE" ]; then return; fi
  printf %s "$NETWORK_OUTSIDE" | nsenter --net="$NETWORK_OF_RUNNER" ip -batch -
}
`

/** Returns the variables of `connect_network`. */
export function connectionVariables({ inside, outside }: NetworkConnection): Record<string, string> {
  return {
    NETWORK_INSIDE: inside,
    NETWORK_OUTSIDE: outside,
    NETWORK_OF_RUNNER: `/proc/${process.pid}/ns/net`,
  }
}
