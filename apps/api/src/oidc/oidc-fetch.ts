/** The longest answer of a provider that is read: key sets and discovery documents have a few kB. */
const MAX_ANSWER_BYTES = 256 * 1024

/** The longest time for a provider's whole answer, in milliseconds. */
export const PROVIDER_DEADLINE_MS = 5_000

export interface ProviderRequest {
  headers?: Headers | Record<string, string>
  signal?: AbortSignal
}

/**
 * Calls GET with limits on time and size, without following redirects. Throws when the answer is not 200 or exceeds a
 * limit.
 */
export async function fetchFromProvider(url: string, request: ProviderRequest = {}): Promise<Response> {
  const deadline = AbortSignal.timeout(PROVIDER_DEADLINE_MS)
  const signal = request.signal === undefined ? deadline : AbortSignal.any([deadline, request.signal])
  const headers = request.headers ?? { accept: 'application/json' }
  const response = await fetch(url, { headers, redirect: 'manual', signal })
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`${url} answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body) {
    length += chunk.length
    // Leaving the loop cancels the body.
    if (length > MAX_ANSWER_BYTES) throw new Error(`${url} answered more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return new Response(Buffer.concat(chunks), { status: response.status, headers: response.headers })
}
