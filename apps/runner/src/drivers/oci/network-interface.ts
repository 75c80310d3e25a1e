/**
 * The network of the sandboxes of one runner, made by `createSandboxNetwork` in network/sandbox-network.ts.
 * It owns every device, address and packet filter rule it makes on the host.
 */
export interface SandboxNetwork extends AsyncDisposable {
  /** Why there is no outbound network on this host; undefined when there is. `attach` is not called then. */
  readonly limitation: string | undefined
  /**
   * Brings loopback up and connects the network namespace of `pid` (a process of the driver's that waits in
   * it; the sandbox's own processes start after this resolves): device, address, default route. Called once a start.
   */
  attach(sandbox: { sandboxId: string; pid: number }): Promise<void>
  /** Content of the sandbox's /etc/resolv.conf. */
  resolvConf(): string
  /** Takes back what `attach` made for it; unknown: nothing to do. */
  release(sandboxId: string): Promise<void>
  /** After a restart: knows these sandboxes as attached, and removes what is left of all others. */
  reconcile(liveSandboxIds: readonly string[]): Promise<void>
}
