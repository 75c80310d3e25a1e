import type { Scene } from './scene.ts'

const LOOK_EVERY_MS = 250

/** Looks until there is something. Throws, saying what is `otherwise`, when that takes longer than coming to rest may. */
export async function waitFor<Result>(
  { options }: Pick<Scene, 'options'>,
  otherwise: string,
  look: () => Promise<Result | undefined>,
): Promise<Result> {
  const giveUpAt = performance.now() + options.settleMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > giveUpAt) throw new Error(`${otherwise} after ${options.settleMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}
