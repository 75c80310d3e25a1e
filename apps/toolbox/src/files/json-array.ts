/** Answers streamed as JSON say so. */
export const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' }

/**
 * A JSON array written batch by batch as it comes, between `before` and `after`, such as `{"files":` and `}`. Nothing
 * is written before the first item, so that a failure until then can still be answered as one.
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
