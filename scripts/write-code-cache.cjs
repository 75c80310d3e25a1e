// node write-code-cache.cjs DIST WARM-UP: runs the app's code that must be quick, and saves what V8 compiled for it in DIST.
const { writeFileSync } = require('node:fs')
const { join } = require('node:path')

const [dist, warmUp] = process.argv.slice(2)
require(warmUp)
  .warmUp(() => require(join(dist, 'main.js')))
  .then((script) => {
    writeFileSync(join(dist, 'app.cache'), script.createCachedData())
    process.exit(0)
  })
