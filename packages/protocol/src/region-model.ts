import type { Static } from 'typebox'
import { Type } from 'typebox'

const MAX_URL_LENGTH = 2_048

const Address = Type.Union([Type.String({ maxLength: MAX_URL_LENGTH }), Type.Null()])
const addresses = {
  proxyUrl: Type.Optional(Address),
  sshGatewayUrl: Type.Optional(Address),
  snapshotManagerUrl: Type.Optional(Address),
  otelEndpoint: Type.Optional(Address),
}

/** A region in which sandboxes can be created: §20.1 of the contract. */
export const Region = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    organizationId: Type.Union([Type.String(), Type.Null()], { description: 'Null: everybody may use it' }),
    regionType: Type.Enum(['shared', 'dedicated', 'custom']),
    ...addresses,
    createdAt: Type.String(),
    updatedAt: Type.String(),
  },
  { $id: 'Region' },
)
export type Region = Static<typeof Region>

export const CreateRegion = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' }),
  ...addresses,
})
export type CreateRegion = Static<typeof CreateRegion>

export const UpdateRegion = Type.Object(addresses)
export type UpdateRegion = Static<typeof UpdateRegion>

const Credential = Type.Union([Type.String(), Type.Null()])

export const CreateRegionResponse = Type.Object(
  {
    id: Type.String(),
    proxyApiKey: Credential,
    sshGatewayApiKey: Credential,
    snapshotManagerUsername: Credential,
    snapshotManagerPassword: Credential,
  },
  { $id: 'CreateRegionResponse' },
)
export type CreateRegionResponse = Static<typeof CreateRegionResponse>
