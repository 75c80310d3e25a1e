import type { Static } from 'typebox'
import { Type } from 'typebox'

/**
 * The method of the one call that a toolbox answers while it awaits a claim. Its body is a `ToolboxClaim`; 204 says that
 * the sandbox has its variables and that its entrypoint runs. Repeated, it says so again and does nothing. No HTTP
 * parser lets such a method in, so no client can send it, whatever passes its calls on.
 */
export const CLAIM_METHOD = 'CLAIM'

export const ToolboxClaim = Type.Object({
  /** The sandbox's own, over those of its snapshot's image. */
  env: Type.Record(Type.String(), Type.String()),
})
export type ToolboxClaim = Static<typeof ToolboxClaim>

/** What a toolbox itself is made with: a claim can no longer set these. */
export const UNCLAIMABLE_VARIABLES: readonly string[] = ['PATH', 'DAYTONA_PROJECT_DIR']
