/** An archive that is not taken; the message says why, for whoever sent it. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
}
