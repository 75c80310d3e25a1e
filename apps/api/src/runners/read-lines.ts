import { StringDecoder } from 'node:string_decoder'

/**
 * Splits a byte stream into lines and holds no more than one; empty lines are left out. Throws RangeError for a line over
 * `maxLineBytes`.
 */
export async function* readLines(chunks: AsyncIterable<Buffer>, maxLineBytes: number): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxLineBytes) throw new RangeError(`a line is over ${maxLineBytes} bytes`)
    for (const line of lines) if (line !== '') yield line
  }
}
