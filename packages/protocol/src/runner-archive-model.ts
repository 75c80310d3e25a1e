import type { Static } from 'typebox'
import { Type } from 'typebox'

/** How an archive of a sandbox's files is packed: a tar archive as it is, or compressed. */
export const ArchiveFormat = Type.Union([Type.Literal('tar'), Type.Literal('tar+gzip'), Type.Literal('tar+zstd')])
export type ArchiveFormat = Static<typeof ArchiveFormat>

/** Names an archive on its way: chosen by the API, a UUID. */
export const ARCHIVE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** Of a whole archive as it is packed, in hexadecimal. */
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

/** An archive that lies ready on its runner to be fetched. */
export const StagedArchive = Type.Object({ bytes: Bytes, sha256: Sha256, format: ArchiveFormat })
export type StagedArchive = Static<typeof StagedArchive>

/** What has come of an archive; `unpacked`: all of it, and it has been taken. */
export const ArrivedArchive = Type.Object({ bytes: Bytes, unpacked: Type.Boolean() })
export type ArrivedArchive = Static<typeof ArrivedArchive>

/** What an archive is that has come whole. */
export const UnpackArchive = Type.Object({ bytes: Bytes, sha256: Sha256 })
export type UnpackArchive = Static<typeof UnpackArchive>
