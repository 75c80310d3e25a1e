import type { SandboxSpec, StartSandbox } from '@atoll/protocol'
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
   * goes away first, or after `deadlineMs` (20 s).
   */
  exec(command: string | readonly string[], options?: { deadlineMs?: number }): Promise<ExecResult>
  /** The agent's environment as it was started. */
  readonly environment: Record<string, string>
  /** Resolves when the agent's connection ends. */
  readonly ended: Promise<void>
}

/** A driver under test, with sandboxes that do as they are told. Ends everything when disposed. */
export interface DriverHarness extends AsyncDisposable {
  readonly driver: SandboxDriver
  /** A small spec: user daytona, network none, 1 core, 0.25 GiB of memory, 0.25 GiB of disk, 128 pids. */
  readonly defaultSpec: SandboxSpec
  /** Creates (unless it exists) and starts a sandbox, and waits for its agent. */
  startSandbox(
    spec?: Partial<SandboxSpec>,
    options?: { sandboxId?: string; env?: StartSandbox['env'] },
  ): Promise<ProbedSandbox>
}

/** Makes a driver on a new data folder, recovered and ready. */
export type CreateDriverHarness = () => Promise<DriverHarness>
