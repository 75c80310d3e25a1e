import type { Static } from 'typebox'
import { Type } from 'typebox'

/** The format of an archive of a sandbox's files: a tar archive, plain or compressed. */
export const ArchiveFormat = Type.Union([Type.Literal('tar'), Type.Literal('tar+gzip'), Type.Literal('tar+zstd')])
export type ArchiveFormat = Static<typeof ArchiveFormat>

/** The id of an archive in transfer: a UUID that the API chooses. */
export const ARCHIVE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** The checksum of a whole packed archive, in hexadecimal. */
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

/** An archive that is ready on its runner to be fetched. */
export const StagedArchive = Type.Object({ bytes: Bytes, sha256: Sha256, format: ArchiveFormat })
export type StagedArchive = Static<typeof StagedArchive>

/** The bytes of an archive that have arrived; `unpacked`: the whole archive has arrived and was unpacked. */
export const ArrivedArchive = Type.Object({ bytes: Bytes, unpacked: Type.Boolean() })
export type ArrivedArchive = Static<typeof ArrivedArchive>

/** The size and checksum of an archive that has arrived whole. */
export const UnpackArchive = Type.Object({ bytes: Bytes, sha256: Sha256 })
export type UnpackArchive = Static<typeof UnpackArchive>
