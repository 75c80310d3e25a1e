import type { Static } from 'typebox'
import { Type } from 'typebox'

/**
 * The method of the only call that a toolbox answers while it awaits a claim. Its body is a `ToolboxClaim`; 204 says that
 * the sandbox has its variables and that its entrypoint runs. A repeated call returns 204 again and does nothing. No HTTP
 * parser accepts this method, so no client can send it, whichever server forwards its calls.
 */
export const CLAIM_METHOD = 'CLAIM'

export const ToolboxClaim = Type.Object({
  /** The sandbox's own variables, which replace those of its snapshot's image. */
  env: Type.Record(Type.String(), Type.String()),
})
export type ToolboxClaim = Static<typeof ToolboxClaim>

/** Variables that a toolbox reads when it starts: a claim can no longer set them. */
export const UNCLAIMABLE_VARIABLES: readonly string[] = ['PATH', 'DAYTONA_PROJECT_DIR']
