import { phaseOf } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** Whose a sandbox is and whether calls can reach it. */
export interface SandboxAccess {
  readonly organizationId: string
  readonly running: boolean
  /** Its runner is lost, and nobody knows what it does there. */
  readonly lost: boolean
  readonly destroyed: boolean
  /** Null when destroyed. */
  readonly authToken: string | null
  /** Null when destroyed. */
  readonly signingKey: string | null
  /** Everybody may see its previews. */
  readonly public: boolean
  /** Its toolbox may not know yet that it was claimed: no call is passed on before it does. */
  readonly claimPending: boolean
}

/** Undefined for a member of a warm pool, which is unknown to everybody (W2). */
export function accessOf(row: SandboxRow): SandboxAccess | undefined {
  const { organizationId, authToken, signingKey, public: isPublic, claimPending } = row
  if (organizationId === null) return undefined
  const phase = phaseOf(row)
  return {
    ...{ organizationId, authToken, signingKey, public: isPublic, claimPending },
    // A resize goes on while calls come in.
    running: phase === 'started' || phase === 'resizingStarted',
    lost: phase === 'lost' || phase === 'lostWithBackup',
    destroyed: phase === 'destroyed',
  }
}
