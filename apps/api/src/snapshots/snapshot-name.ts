import { AppError } from '@atoll/protocol'

/** Parts between slashes, of characters that an image reference may have. */
const NAME = /^[A-Za-z0-9_.:@-]+(\/[A-Za-z0-9_.:@-]+)*$/

/** The same, but beginning with a letter or a digit, as a registry or a repository does. */
const IMAGE = /^[A-Za-z0-9][A-Za-z0-9_.:@-]*(\/[A-Za-z0-9_.:@-]+)*$/

/** Throws VALIDATION_FAILED for a text that cannot be the name of a snapshot. */
export function checkSnapshotName(name: string): void {
  if (!NAME.test(name)) {
    throw invalid('name may hold letters, digits, dots, colons, dashes, underscores, at-signs and single slashes')
  }
  // Clients would remove such parts from the path of a request.
  if (name.split('/').some((part) => part === '.' || part === '..')) {
    throw invalid('name must not have a part that is a dot or two')
  }
}

/** Checks the `:latest` rule of §9. Throws VALIDATION_FAILED. */
export function checkImageName(imageName: string): void {
  if (!IMAGE.test(imageName)) throw invalid(`imageName ${JSON.stringify(imageName)} is no image reference`)
  const last = imageName.slice(imageName.lastIndexOf('/') + 1)
  if (!last.includes(':') || last.endsWith(':')) throw invalid('imageName must include a tag, as in debian:12')
  if (last.endsWith(':latest')) throw invalid('imageName must not have the tag latest, which changes its meaning')
}

function invalid(message: string): AppError {
  return new AppError('VALIDATION_FAILED', message)
}
