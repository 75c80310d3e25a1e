/** The headers of answers that are streamed as JSON. */
export const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' }

/**
 * Writes a JSON array batch by batch as it comes, between `before` and `after`, such as `{"files":` and `}`. Writes
 * nothing before the first item, so that a failure until then can still be answered as an error.
 */
export async function* jsonArray(
  batches: AsyncIterable<readonly unknown[]>,
  { before = '', after = '' } = {},
): AsyncGenerator<Buffer> {
  let opening = `${before}[`
  for await (const batch of batches) {
    if (batch.length === 0) continue
    yield Buffer.from(opening + JSON.stringify(batch).slice(1, -1))
    opening = ','
  }
  yield Buffer.from(opening === ',' ? `]${after}` : `${opening}]${after}`)
}
