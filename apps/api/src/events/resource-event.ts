import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

/** The PostgreSQL channel on which every replica receives events. Triggers notify it, whatever makes the change. */
export const RESOURCE_EVENT_CHANNEL = 'resource_event'

/**
 * A resource was made (`from` is null), changed its state, or was removed (`to` is `removed`). The states are those of
 * a snapshot or volume itself, and for a sandbox those that clients see.
 */
export const ResourceEvent = Type.Object({
  kind: Type.Enum(['sandbox', 'snapshot', 'volume']),
  organizationId: Type.String(),
  id: Type.String(),
  from: Type.Union([Type.String(), Type.Null()]),
  to: Type.String(),
})
export type ResourceEvent = Static<typeof ResourceEvent>

/** Returns undefined for a payload that is no event. */
export function parseResourceEvent(payload: string): ResourceEvent | undefined {
  try {
    const event: unknown = JSON.parse(payload)
    return Value.Check(ResourceEvent, event) ? event : undefined
  } catch {
    // A text that is no JSON is no event.
    return undefined
  }
}
