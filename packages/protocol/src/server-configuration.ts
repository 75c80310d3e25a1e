import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Answer of `GET /config`: §20.1 of the contract, with its spelling. */
export const ServerConfiguration = Type.Object(
  {
    version: Type.String(),
    oidc: Type.Object(
      { issuer: Type.String(), clientId: Type.String(), audience: Type.String() },
      { description: 'Empty where there is no sign-in but by key' },
    ),
    linkedAccountsEnabled: Type.Boolean(),
    announcements: Type.Record(Type.String(), Type.Unknown()),
    proxyTemplateUrl: Type.String({ description: 'A preview, with {{PORT}} and {{sandboxId}} in their places' }),
    proxyToolboxUrl: Type.String(),
    defaultSnapshot: Type.String(),
    dashboardUrl: Type.String({ description: 'Where a person looks: the API page' }),
    maxAutoArchiveInterval: Type.Integer({ description: 'Minutes' }),
    maintananceMode: Type.Boolean(),
    environment: Type.String(),
  },
  { $id: 'ServerConfiguration' },
)
export type ServerConfiguration = Static<typeof ServerConfiguration>
