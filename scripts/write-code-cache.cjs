// node write-code-cache.cjs DIST WARM-UP: has the app in DIST do what shall be quick, and keeps what V8 compiled for that.
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')

const [dist, warmUp] = process.argv.slice(2)
require(warmUp)
  .warmUp(() => require(join(dist, 'main.js')))
  .then((script) => {
    writeFileSync(join(dist, 'app.cache'), script.createCachedData())
    process.exit(0)
  })
