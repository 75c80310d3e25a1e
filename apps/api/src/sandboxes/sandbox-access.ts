import { phaseOf } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** A sandbox's organization, and whether calls can reach the sandbox. */
export interface SandboxAccess {
  readonly organizationId: string
  readonly running: boolean
  /** Whether its runner is lost, so that its real state is unknown. */
  readonly lost: boolean
  readonly destroyed: boolean
  /** Null when destroyed. */
  readonly authToken: string | null
  /** Null when destroyed. */
  readonly signingKey: string | null
  /** Whether everybody may see its previews. */
  readonly public: boolean
  /** Whether its toolbox may not know yet that it was claimed: no call is passed on before it does. */
  readonly claimPending: boolean
}

/** Returns undefined for a member of a warm pool, which is unknown to everybody (W2). */
export function accessOf(row: SandboxRow): SandboxAccess | undefined {
  const { organizationId, authToken, signingKey, public: isPublic, claimPending } = row
  if (organizationId === null) return undefined
  const phase = phaseOf(row)
  return {
    ...{ organizationId, authToken, signingKey, public: isPublic, claimPending },
    // Calls are passed on during a resize.
    running: phase === 'started' || phase === 'resizingStarted',
    lost: phase === 'lost' || phase === 'lostWithBackup',
    destroyed: phase === 'destroyed',
  }
}
