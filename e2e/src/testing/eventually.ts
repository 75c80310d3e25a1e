const POLL_MS = 50
/** Far above what is waited for takes, so that a busy machine changes no result. */
const DEADLINE_MS = 120_000

/** Looks until `isTrue`; gives up after `withinMs` with the words of what was awaited. */
export async function eventually(what: string, isTrue: () => Promise<boolean>, withinMs = DEADLINE_MS): Promise<void> {
  if (!(await within(withinMs, isTrue))) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
}

/** Looks until `isTrue`, for `ms` milliseconds at most; answers whether it became so. */
export async function within(ms: number, isTrue: () => Promise<boolean> | boolean): Promise<boolean> {
  const deadline = Date.now() + ms
  while (!(await isTrue())) {
    if (Date.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return true
}
