/** What connects a sandbox's network namespace: batches for `ip`, for in there and for the runner's namespace after it. */
export interface NetworkConnection {
  inside: string
  /** Empty where there is nothing to do. */
  outside: string
}

/**
 * For scripts: `connect_network`, called in the sandbox's network namespace with the variables below, which it needs no
 * longer afterwards.
 */
export const CONNECT_NETWORK = `
connect_network() {
  printf %s "$NETWORK_INSIDE" | ip -batch -
  if [ -z "$NETWORK_OUTSIDE" ]; then return; fi
  printf %s "$NETWORK_OUTSIDE" | nsenter --net="$NETWORK_OF_RUNNER" ip -batch -
}
`

/** The variables of `connect_network`. */
export function connectionVariables({ inside, outside }: NetworkConnection): Record<string, string> {
  return {
    NETWORK_INSIDE: inside,
    NETWORK_OUTSIDE: outside,
    NETWORK_OF_RUNNER: `/proc/${process.pid}/ns/net`,
  }
}
