/** Request headers that are not passed on: a sandbox must not learn the credentials of its users. */
export const withheldFromSandbox: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'x-daytona-organization-id',
  'forwarded',
  'x-forwarded-for',
  'x-real-ip',
])

/**
 * The only response headers that a sandbox may send. It is not trusted, and its answers come from the API's own origin:
 * it must not set cookies, open that origin to others, redirect, ask for passwords or instruct caches and browsers.
 */
export const keptFromSandbox: ReadonlySet<string> = new Set([
  'accept-ranges',
  'allow',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'last-modified',
  'retry-after',
  'sec-websocket-accept',
  'sec-websocket-extensions',
  'sec-websocket-protocol',
])

/** Keeps a browser that opens a sandbox's answer as a page from running it with the API's origin. */
export const guardHeaders = Object.freeze({
  'cache-control': 'no-store',
  'content-security-policy': "sandbox; default-src 'none'",
  'cross-origin-resource-policy': 'cross-origin',
  'x-content-type-options': 'nosniff',
})
