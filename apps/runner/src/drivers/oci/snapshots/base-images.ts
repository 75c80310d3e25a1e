import { DockerfileParser } from 'dockerfile-ast'
import { SnapshotError } from './make-context.ts'

/** Images one Dockerfile may start from. */
const MAX_BASE_IMAGES = 20

/**
 * The images a Dockerfile needs, as FROM and COPY --from name them once its ARGs are filled in: neither `scratch` nor a stage
 * of its own. Throws SnapshotError for too many.
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
    if (!isStage) images.add(source)
  }
  if (images.size > MAX_BASE_IMAGES) throw new SnapshotError(`a build has at most ${MAX_BASE_IMAGES} base images`)
  return [...images]
}

/** `$A`, `${A}`, `${A:-otherwise}` and `${A:+instead}`. */
function expand(text: string, resolve: (name: string) => string): string {
  return text.replace(/\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g, (...groups: string[]) => {
    const [, plain, braced, mark, word = ''] = groups
    const value = resolve(plain ?? braced ?? '')
    if (mark === '-') return value === '' ? word : value
    if (mark === '+') return value === '' ? '' : word
    return value
  })
}
