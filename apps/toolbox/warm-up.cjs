const { once } = require('node:events')
const { mkdtempSync, rmSync } = require('node:fs')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { env } = require('node:process')
const { setFlagsFromString } = require('node:v8')

/** Has the toolbox dial home; `start` starts it and answers its script, which this answers once it has dialled. */
exports.warmUp = async (start) => {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-warm-up-'))
  const server = createServer().listen(join(folder, 'home.sock'))
  try {
    await once(server, 'listening')
    env.ATOLL_CONTROL_URL = `ws+unix:${join(folder, 'home.sock')}:/`
    env.ATOLL_TOOLBOX_TOKEN = 'none'
    env.ATOLL_SANDBOX_ID = 'none'
    const dialled = once(server, 'upgrade')
    const script = start()
    await dialled
    // As V8 starts: the toolbox changes it, and what is compiled is for the options of that moment.
    setFlagsFromString('--semi-space-growth-factor=2')
    return script
  } finally {
    rmSync(folder, { recursive: true })
  }
}
