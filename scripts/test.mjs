// `npm test`: from a fresh clone through every gate and every test. The last line is the count.
import './setup/node-version.mjs'

import('./gates/run-gates.mjs')
  .then(({ runGates }) => runGates())
  .catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
