// Runs app.js with the code that V8 compiled when it was built. A missing cache, or one of another Node, only costs time.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Script } = require('node:vm')

const filename = join(__dirname, 'app.js')
// latin1 is correct because the bundle is ASCII.
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: readCache() })
module.exports = script
script.runInThisContext()({}, require, module, filename, __dirname)

function readCache() {
  try {
    return readFileSync(join(__dirname, 'app.cache'))
  } catch {
    // There is no cache.
    return undefined
  }
}
