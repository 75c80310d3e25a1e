import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

/** PostgreSQL channel on which every replica hears of events. Triggers send them, whatever makes the change. */
export const RESOURCE_EVENT_CHANNEL = 'resource_event'

/**
 * A resource came to be (`from` is null), is in another state, or is no more (`to` is `removed`): of a snapshot and a
 * volume its state, of a sandbox the state that clients see.
 */
export const ResourceEvent = Type.Object({
  kind: Type.Enum(['sandbox', 'snapshot', 'volume']),
  organizationId: Type.String(),
  id: Type.String(),
  from: Type.Union([Type.String(), Type.Null()]),
  to: Type.String(),
})
export type ResourceEvent = Static<typeof ResourceEvent>

/** Undefined for what is none. */
export function parseResourceEvent(payload: string): ResourceEvent | undefined {
  try {
    const event: unknown = JSON.parse(payload)
    return Value.Check(ResourceEvent, event) ? event : undefined
  } catch {
    // No JSON is no event.
    return undefined
  }
}
