/** A signal that aborts with its parent, or with a TimeoutError when its time is up. Disposing stops the clock. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal
}

/** Starts the clock. The caller disposes the deadline. */
export function createDeadline(parent: AbortSignal, timeoutMs: number): Deadline {
  const controller = new AbortController()
  const follow = () => controller.abort(parent.reason)
  const timer = setTimeout(() => {
    controller.abort(new DOMException(`not done within ${timeoutMs} ms`, 'TimeoutError'))
  }, timeoutMs)
  if (parent.aborted) follow()
  else parent.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      parent.removeEventListener('abort', follow)
    },
  }
}
