import type { ResourceEvent } from './resource-event.ts'

/** One message to clients, by its name on the wire (§20.6 of the contract). */
export interface ClientEvent {
  readonly name: string
  readonly payload: object
}

/** Returns the messages about an event; `resource` is the resource as it is now. */
export function clientEvents(event: ResourceEvent, resource: object): ClientEvent[] {
  const { kind, from, to } = event
  if (from === null) return [{ name: `${kind}.created`, payload: resource }]
  if (to === 'removed') return [{ name: `${kind}.removed`, payload: resource }]
  const events = [{ name: `${kind}.state.updated`, payload: { [kind]: resource, oldState: from, newState: to } }]
  if (kind !== 'sandbox') return events
  const [oldDesiredState, newDesiredState] = [desiredBy(from), desiredBy(to)]
  if (oldDesiredState === newDesiredState || newDesiredState === undefined) return events
  const payload = { sandbox: resource, oldDesiredState: oldDesiredState ?? null, newDesiredState }
  return [...events, { name: 'sandbox.desired-state.updated', payload }]
}

/** Returns the desired state of a sandbox that shows a state; undefined where the state does not imply one. */
function desiredBy(state: string): string | undefined {
  switch (state) {
    case 'started':
    case 'starting':
    case 'creating':
    case 'restoring':
    case 'pending_build':
    case 'building_snapshot':
    case 'pulling_snapshot':
      return 'started'
    case 'stopped':
    case 'stopping':
      return 'stopped'
    case 'archived':
    case 'archiving':
      return 'archived'
    case 'destroyed':
    case 'destroying':
      return 'destroyed'
    default:
      return undefined
  }
}
