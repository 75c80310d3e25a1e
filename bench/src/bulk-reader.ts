/*
 * Downloads one file over and over, up to a given rate, in a process of its own: in the benchmark's process it would delay
 * the measured calls. Answers every question with the number of bytes it has received.
 */
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { serveParent } from './tunnel-programs.ts'

const [url = '', apiKey = '', bytesPerSecond = 'Infinity'] = process.argv.slice(2)
const NO_PORT = 0
let received = 0

let incoming = await open()
serveParent(NO_PORT, async () => received)
const startedAt = performance.now()
for (;;) {
  for await (const piece of incoming) {
    received += piece.length
    const early = (received / Number(bytesPerSecond)) * 1e3 - (performance.now() - startedAt)
    if (early > 1) await delay(early)
  }
  incoming = await open()
}

async function open(): Promise<IncomingMessage> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers: { authorization: `Bearer ${apiKey}` } }, resolve).once('error', reject)
  })
  if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`)
  return answer
}
