// Stands in for a program under `atoll up`: reports when it is ready, ends on SIGTERM or with its supervisor.
// STAND_IN_<NAME> sets its behaviour; it writes events to $ATOLL_DATA_DIR/events.
import { appendFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

export function standIn(name) {
  const mode = process.env[`STAND_IN_${name.toUpperCase()}`] ?? 'plain'
  const dataDir = process.env.ATOLL_DATA_DIR
  const note = (text) => appendFileSync(join(dataDir, 'events'), `${name} ${text}\n`)
  if (mode === 'fail') {
    process.send({ type: 'failed', message: `the ${name} lacks something` }, () => process.exit(1))
    return
  }
  const server = createServer()
  const end = (why) => {
    note(`ended by ${why}`)
    process.exit(0)
  }
  process.on('SIGTERM', () => end('SIGTERM'))
  process.on('SIGINT', () => end('SIGINT'))
  process.on('disconnect', () => end('disconnect'))
  server.listen(Number(name === 'api' ? process.env.ATOLL_PORT : 0), '127.0.0.1', () => {
    const url = `http://127.0.0.1:${server.address().port}`
    note(`ready, database ${process.env.DATABASE_URL ?? 'none'}`)
    console.log(JSON.stringify({ level: 30, time: Date.now(), name, msg: 'listening' }))
    console.log(JSON.stringify({ level: 40, time: Date.now(), name, msg: 'odd', err: { message: 'the reason' } }))
    if (name === 'api') writeFileSync(join(dataDir, 'api-key'), 'dtn_stand-in\n', { mode: 0o600 })
    process.send({ type: 'ready', url })
  })
}
