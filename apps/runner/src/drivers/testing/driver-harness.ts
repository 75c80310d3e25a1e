import type { SandboxSpec, SandboxStatus, StartSandbox } from '@atoll/protocol'
import type { SandboxDriver } from '../driver.ts'

export interface ExecResult {
  /** -1 when a signal ended it. */
  code: number
  signal: string | null
  stdout: string
  stderr: string
}

/** A started sandbox, seen from inside through the probe agent that takes the toolbox's place. */
export interface ProbedSandbox {
  readonly sandboxId: string
  /**
   * Runs a program, or a line of `sh`, as the sandbox's user in the agent's folder. Rejects when the agent
   * goes away first, or after `deadlineMs` (60 s).
   */
  exec(command: string | readonly string[], options?: { deadlineMs?: number }): Promise<ExecResult>
  /** Makes the agent, and with it the sandbox, end with this code. */
  exit(code: number): void
  /** The agent's environment as it was started. */
  readonly environment: Record<string, string>
  /** Resolves when the agent's connection ends. */
  readonly ended: Promise<void>
}

/** A driver under test, with sandboxes that do as they are told. Ends everything when disposed. */
export interface DriverHarness extends AsyncDisposable {
  /** Another one after `crash`. */
  readonly driver: SandboxDriver
  /** A small spec: user daytona, network none, 1 core, 0.25 GiB of memory, 0.25 GiB of disk, 128 pids. */
  readonly defaultSpec: SandboxSpec
  /** Creates (unless it exists) and starts a sandbox, and waits for its agent. */
  startSandbox(
    spec?: Partial<SandboxSpec>,
    options?: { sandboxId?: string; env?: StartSandbox['env'] },
  ): Promise<ProbedSandbox>
  /** The next status of this sandbox that nobody asked for. Ask before causing it. */
  nextStatus(sandboxId: string): Promise<SandboxStatus>
  /** Kills the first process of a sandbox from outside, as an administrator could. */
  killFirstProcess(sandboxId: string): Promise<void>
  /** Kills every process there is for a sandbox on the host, as kill -9 of everything does. */
  killEverything(sandboxId: string): Promise<void>
  /** Kills the driver's process and opens a driver anew on the same data folder; `meanwhile` runs in between. */
  crash(meanwhile?: () => Promise<void>): Promise<void>
  /**
   * What this driver's sandboxes have on the host now, one line each: processes, mounts, loop devices, cgroups,
   * network devices, folders.
   */
  traces(): Promise<string[]>
  /** What the driver itself has on the host: what its sandboxes share. */
  sharedTraces(): Promise<string[]>
}

/** Makes a driver on a new data folder, recovered and ready. */
export type CreateDriverHarness = () => Promise<DriverHarness>
