const POLL_MS = 50
/** The default deadline: far longer than any awaited change takes, so that a busy machine changes no result. */
const DEADLINE_MS = 120_000

/** Waits until `isTrue`; throws after `withinMs`, with `what` in the message. */
export async function eventually(what: string, isTrue: () => Promise<boolean>, withinMs = DEADLINE_MS): Promise<void> {
  if (!(await within(withinMs, isTrue))) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
}

/** Waits until `isTrue`, for at most `ms` milliseconds; returns whether it became true. */
export async function within(ms: number, isTrue: () => Promise<boolean> | boolean): Promise<boolean> {
  const deadline = Date.now() + ms
  while (!(await isTrue())) {
    if (Date.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return true
}
