// This module is imported before all others and in old syntax, so that an old Node prints the message below.
import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const wanted = manifest.engines.node.replace('>=', '')

if (!isAtLeast(process.versions.node, wanted)) {
  console.error(`Atoll needs Node ${wanted} or newer; this is ${process.versions.node} (${process.execPath}).`)
  process.exit(1)
}

function isAtLeast(version, minimum) {
  const have = version.split('.').map(Number)
  const need = minimum.split('.').map(Number)
  for (let part = 0; part < need.length; part += 1) {
    if (have[part] !== need[part]) return have[part] > need[part]
  }
  return true
}
