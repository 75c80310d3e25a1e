import { DockerfileParser } from 'dockerfile-ast'
import { SnapshotError } from './make-context.ts'

/** Most images that one Dockerfile may start from. */
const MAX_BASE_IMAGES = 20
/** Longest name of an image, before and after its ARGs are filled in: a registry with its port, a path and a digest. */
const MAX_NAME_CHARACTERS = 1_024

/**
 * Returns the images that a Dockerfile needs, as FROM and COPY --from name them once its ARGs are filled in, without `scratch`
 * and the file's own stages. Throws SnapshotError for too many images, and for a name that is too long.
 */
export function findBaseImages(dockerfile: string): string[] {
  const parsed = DockerfileParser.parse(dockerfile)
  const stages = new Set<string>()
  const images = new Set<string>()
  for (const from of parsed.getFROMs()) {
    const line = from.getRange().start.line
    const resolve = (name: string) => parsed.resolveVariable(name, line) ?? ''
    const image = expand(from.getImage() ?? '', resolve)
    if (image !== '' && image !== 'scratch' && !stages.has(image.toLowerCase())) images.add(image)
    const stage = from.getBuildStage()
    if (stage !== null) stages.add(stage.toLowerCase())
  }
  for (const copy of parsed.getCOPYs()) {
    const source =
      copy
        .getFlags()
        .find((flag) => flag.getName() === 'from')
        ?.getValue() ?? ''
    const isStage = stages.has(source.toLowerCase()) || /^\d*$/.test(source)
    if (!isStage) images.add(notTooLong(source))
  }
  if (images.size > MAX_BASE_IMAGES) throw new SnapshotError(`a build has at most ${MAX_BASE_IMAGES} base images`)
  return [...images]
}

/** Fills in `$A`, `${A}`, `${A:-otherwise}` and `${A:+instead}`. */
function expand(text: string, resolve: (name: string) => string): string {
  const expanded = notTooLong(text).replace(/\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g, (...groups: string[]) => {
    const [, plain, braced, mark, word = ''] = groups
    const value = resolve(plain ?? braced ?? '')
    if (mark === '-') return notTooLong(value === '' ? word : value)
    if (mark === '+') return value === '' ? '' : word
    return notTooLong(value)
  })
  return notTooLong(expanded)
}

function notTooLong(name: string): string {
  if (name.length <= MAX_NAME_CHARACTERS) return name
  throw new SnapshotError(`the name of a base image has more than ${MAX_NAME_CHARACTERS} characters`)
}
