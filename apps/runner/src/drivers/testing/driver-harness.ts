import type { SandboxSpec, SandboxStatus, StartSandbox } from '@atoll/protocol'
import type { SandboxDriver } from '../driver.ts'

export interface ExecResult {
  /** Exit code; -1 when a signal ended the program. */
  code: number
  signal: string | null
  stdout: string
  stderr: string
}

/** A started sandbox, observed from inside by the probe agent that takes the toolbox's place. */
export interface ProbedSandbox {
  readonly sandboxId: string
  /**
   * Runs a program, or a line of `sh`, as the sandbox's user in the agent's folder. Rejects when the agent
   * goes away first, or after `deadlineMs` (60 s).
   */
  exec(command: string | readonly string[], options?: { deadlineMs?: number }): Promise<ExecResult>
  /** Ends the agent, and with it the sandbox, with this code. */
  exit(code: number): void
  /** The agent's environment as it was started. */
  readonly environment: Record<string, string>
  /** Resolves when the agent's connection ends. */
  readonly ended: Promise<void>
}

/** A driver under test, with sandboxes that run tests' commands. Ends everything when disposed. */
export interface DriverHarness extends AsyncDisposable {
  /** The driver; `crash` replaces it. */
  readonly driver: SandboxDriver
  /** A small spec: user daytona, network none, 1 core, 0.25 GiB of memory, 0.25 GiB of disk, 128 pids. */
  readonly defaultSpec: SandboxSpec
  /** Creates (unless it exists) and starts a sandbox, and waits for its agent. */
  startSandbox(
    spec?: Partial<SandboxSpec>,
    options?: { sandboxId?: string; env?: StartSandbox['env'] },
  ): Promise<ProbedSandbox>
  /** Resolves with the next status of this sandbox that the driver reports by itself. Call before causing it. */
  nextStatus(sandboxId: string): Promise<SandboxStatus>
  /** Kills the first process of a sandbox from outside, as an administrator could. */
  killFirstProcess(sandboxId: string): Promise<void>
  /** Kills every process of a sandbox on the host, with kill -9. */
  killEverything(sandboxId: string): Promise<void>
  /** Kills the driver's process and opens a driver anew on the same data folder; `meanwhile` runs in between. */
  crash(meanwhile?: () => Promise<void>): Promise<void>
  /**
   * Returns the traces of this driver's sandboxes on the host now, one line each: processes, mounts, loop devices, cgroups,
   * network devices, folders.
   */
  traces(): Promise<string[]>
  /** Returns the traces of the driver itself on the host, which its sandboxes share. */
  sharedTraces(): Promise<string[]>
}

/** Makes a driver on a new data folder, ready for calls. */
export type CreateDriverHarness = () => Promise<DriverHarness>
