/* The least work of a process in between: it joins sockets and parses nothing. */
import { type AddressInfo, connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { serveParent } from './tunnel-programs.ts'

const [port = ''] = process.argv.slice(2)
const server = createServer({ noDelay: true }, (client) => {
  const daemon = connect({ host: '127.0.0.1', port: Number(port), noDelay: true })
  // A load that is done drops its connection; the other one is then closed too.
  pipeline(client, daemon, () => client.destroy())
  pipeline(daemon, client, () => daemon.destroy())
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
serveParent((server.address() as AddressInfo).port)
