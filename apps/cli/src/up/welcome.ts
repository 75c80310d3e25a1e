import { join } from 'node:path'

export interface WelcomeFacts {
  version: string
  url: string
  dataDir: string
  /** The new API key; set only on the first start. */
  newApiKey: string | undefined
}

/** The SDK release that Atoll is tested with. */
const SDK = '@daytonaio/sdk@0.23.1'

/** Returns the text that is printed once the system runs. The script is not indented, so that it can be pasted. */
export function welcomeText(facts: WelcomeFacts): string {
  const keyPath = join(facts.dataDir, 'api-key')
  const shownOnce = facts.newApiKey ? `\n             ${facts.newApiKey}  (shown this once)` : ''
  return `
Atoll ${facts.version} runs at ${facts.url}
  API page   ${facts.url}/api/docs
  API key    ${keyPath}${shownOnce}
  Logs       ${join(facts.dataDir, 'logs')}
  End        Ctrl-C: sandboxes stop, their files stay

To try it, save this as example.mjs in an empty folder; then: npm install ${SDK} && node example.mjs

${exampleScript(facts.url, keyPath)}
`
}

/** Returns the script, which ends with `sandbox.delete()`. Its `target` keeps the SDK from looking for .env files. */
function exampleScript(url: string, keyPath: string): string {
  return `import { readFileSync } from 'node:fs'
import { Daytona } from '@daytonaio/sdk'

const apiKey = readFileSync(${quote(keyPath)}, 'utf8').trim()
const daytona = new Daytona({ apiKey, apiUrl: ${quote(`${url}/api`)}, target: 'us' })

const sandbox = await daytona.create()
const { result } = await sandbox.process.executeCommand('echo "Hello from $(uname -s)"')
console.log(result)
await sandbox.fs.uploadFile(Buffer.from('kept in a sandbox'), 'note.txt')
console.log((await sandbox.fs.downloadFile('note.txt')).toString())
await sandbox.delete()`
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
