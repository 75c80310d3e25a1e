/** Returns whether an SDK's version is this or a later one; false for a client that names none. */
export function isSince(version: string | undefined, first: readonly [number, number, number]): boolean {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/
    .exec(version ?? '')
    ?.slice(1)
    .map(Number)
  if (parts === undefined) return false
  const at = parts.findIndex((part, index) => part !== first[index])
  return at === -1 || (parts[at] ?? 0) > (first[at] ?? 0)
}
