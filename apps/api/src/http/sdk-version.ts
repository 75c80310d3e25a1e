import type { FastifyRequest } from 'fastify'

const VERSION = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/

/** Tells whether the caller names an SDK of at least `minimum`; a caller without the header is not an SDK. */
export function isSdkAtLeast(
  request: Pick<FastifyRequest, 'headers'>,
  minimum: `${number}.${number}.${number}`,
): boolean {
  const given = parts(String(request.headers['x-daytona-sdk-version'] ?? ''))
  const wanted = parts(minimum)
  if (given === undefined || wanted === undefined) return false
  const at = given.findIndex((number, index) => number !== wanted[index])
  return at === -1 || (given[at] ?? 0) > (wanted[at] ?? 0)
}

function parts(text: string): number[] | undefined {
  return VERSION.exec(text)?.slice(1).map(Number)
}
