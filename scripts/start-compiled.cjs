// Runs app.js, with what V8 compiled of it when it was built. A cache that is not there, or of another Node, only costs time.
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { Script } = require('node:vm')

const filename = join(__dirname, 'app.js')
// The bundle is ASCII.
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: readCache() })
module.exports = script
script.runInThisContext()({}, require, module, filename, __dirname)

function readCache() {
  try {
    return readFileSync(join(__dirname, 'app.cache'))
  } catch {
    // Not there.
    return undefined
  }
}
