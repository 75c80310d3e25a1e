/** Thrown when an archive is refused; the message says why, for its sender. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
}
