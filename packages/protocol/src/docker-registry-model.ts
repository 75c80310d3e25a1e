import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Most registries of an organization, and most registries that belong to no organization. */
export const MAX_DOCKER_REGISTRIES = 100

/** Longest texts, in UTF-16 code units. A password may be a whole key file. */
const MAX_NAME_LENGTH = 255
const MAX_URL_LENGTH = 1_024
const MAX_PASSWORD_LENGTH = 16 * 1024

/** An `organization` registry belongs to one organization; the others are the system's, made by an administrator. */
export const DockerRegistryType = Type.Enum(['internal', 'organization', 'public', 'transient'])
export type DockerRegistryType = Static<typeof DockerRegistryType>

/** A registry as clients see it (§11 of the contract): never with its password. */
export const DockerRegistry = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name: Type.String(),
    url: Type.String(),
    username: Type.String(),
    project: Type.String(),
    registryType: DockerRegistryType,
    createdAt: Type.String({ format: 'date-time' }),
    updatedAt: Type.String({ format: 'date-time' }),
  },
  { $id: 'DockerRegistry' },
)
export type DockerRegistry = Static<typeof DockerRegistry>

const Name = Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })
const Project = Type.String({ maxLength: MAX_NAME_LENGTH, description: 'Path below which its images are' })
/** A URL without credentials, because clients see the URL. */
const Url = Type.String({
  maxLength: MAX_URL_LENGTH,
  pattern: '^(?:https?://)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9A-Fa-f:.]+\\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]*)?$',
  description: 'Host, with or without scheme, port and path: `registry.example.org:5000`',
})
const Password = Type.String({ maxLength: MAX_PASSWORD_LENGTH })

/** Body of `POST /docker-registry`. Newer clients send no type and may leave out the project. */
export const CreateDockerRegistry = Type.Object({
  name: Name,
  url: Url,
  username: Type.String({ maxLength: MAX_NAME_LENGTH }),
  password: Password,
  project: Type.Optional(Project),
  registryType: Type.Optional(DockerRegistryType),
  isDefault: Type.Optional(Type.Boolean()),
})
export type CreateDockerRegistry = Static<typeof CreateDockerRegistry>

/** Body of `PATCH /docker-registry/{id}`. Absent fields, and an empty password, leave the stored values unchanged. */
export const UpdateDockerRegistry = Type.Object({
  name: Name,
  username: Type.String({ maxLength: MAX_NAME_LENGTH }),
  password: Type.Optional(Password),
  url: Type.Optional(Url),
  project: Type.Optional(Project),
})
export type UpdateDockerRegistry = Static<typeof UpdateDockerRegistry>

/** Answer of `GET /docker-registry/registry-push-access`. */
export const RegistryPushAccess = Type.Object(
  {
    username: Type.String(),
    secret: Type.String(),
    registryUrl: Type.String(),
    registryId: Type.String({ format: 'uuid' }),
    project: Type.String(),
    expiresAt: Type.String({ format: 'date-time' }),
  },
  { $id: 'RegistryPushAccess' },
)
export type RegistryPushAccess = Static<typeof RegistryPushAccess>
