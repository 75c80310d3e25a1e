/* The least that a process in between can do: it joins sockets and looks at nothing. */
import { type AddressInfo, connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { serveParent } from './tunnel-programs.ts'

const [port = ''] = process.argv.slice(2)
const server = createServer({ noDelay: true }, (client) => {
  const daemon = connect({ host: '127.0.0.1', port: Number(port), noDelay: true })
  // A load that is done drops its connection; what is left of the other goes with it.
  pipeline(client, daemon, () => client.destroy())
  pipeline(daemon, client, () => daemon.destroy())
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
serveParent((server.address() as AddressInfo).port)
