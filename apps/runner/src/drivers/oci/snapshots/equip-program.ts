/** Name, number and home of the account that every snapshot has. */
export const SANDBOX_ACCOUNT = { name: 'daytona', id: 1000, home: '/home/daytona' } as const
/** Most accounts that are reported; an image keeps further accounts, but no sandbox can be started as one of them. */
export const MAX_ACCOUNTS = 500

/**
 * Runs as root inside a sandbox of a snapshot that is being made, with the injected Node, so that every path is resolved
 * where it can do no harm. Makes the accounts `daytona` and `root` and the folders that programs need, where they are
 * missing, and sends the accounts as JSON to the socket.
 */
export const EQUIP_PROGRAM = `
const fs = require('node:fs')
const net = require('node:net')
const { name, id, home } = ${JSON.stringify(SANDBOX_ACCOUNT)}
const read = (path) => { try { return fs.readFileSync(path, 'utf8') } catch { return undefined } }
const rows = (text) => (text ?? '').split('\\n').filter((line) => line.includes(':')).map((line) => line.split(':'))
const add = (path, text, line) => {
  fs.mkdirSync('/etc', { recursive: true, mode: 0o755 })
  fs.writeFileSync(path, text === undefined || text === '' || text.endsWith('\\n') ? (text ?? '') + line + '\\n' : text + '\\n' + line + '\\n')
}
const shell = ['/bin/bash', '/bin/sh', '/busybox/sh'].find((path) => fs.existsSync(path)) ?? '/bin/sh'
const has = (path, account) => rows(read(path)).some((row) => row[0] === account)
const addUser = (account, uid, gid, folder) => {
  if (!has('/etc/passwd', account)) add('/etc/passwd', read('/etc/passwd'), account + ':x:' + uid + ':' + gid + '::' + folder + ':' + shell)
  if (!has('/etc/group', account)) add('/etc/group', read('/etc/group'), account + ':x:' + gid + ':')
  const shadow = read('/etc/shadow')
  if (shadow !== undefined && !has('/etc/shadow', account)) add('/etc/shadow', shadow, account + ':*:19000:0:99999:7:::')
}
if (!has('/etc/passwd', 'root')) addUser('root', 0, 0, '/root')
if (!has('/etc/passwd', name)) {
  const taken = new Set([...rows(read('/etc/passwd')), ...rows(read('/etc/group'))].map((row) => Number(row[2])))
  let free = id
  while (taken.has(free)) free += 1
  addUser(name, free, free, home)
}
const folders = [['/tmp', 0o1777], ['/var', 0o755], ['/var/tmp', 0o1777], ['/run', 0o755], ['/root', 0o700], ['/home', 0o755]]
for (const [path, mode] of folders) {
  if (fs.existsSync(path)) continue
  fs.mkdirSync(path, { recursive: true })
  fs.chmodSync(path, mode)
}
const passwd = rows(read('/etc/passwd')).filter((row) => row.length >= 7)
const own = passwd.find((row) => row[0] === name)
if (own && own[5].startsWith('/') && !fs.existsSync(own[5])) {
  fs.mkdirSync(own[5], { recursive: true, mode: 0o755 })
  fs.chownSync(own[5], Number(own[2]), Number(own[3]))
}
const groups = rows(read('/etc/group'))
const named = (account) => passwd.filter((row) => row[0] === account)
const wanted = [...named(name), ...named('root'), ...passwd]
const accounts = new Map()
for (const [user, , uid, gid, , folder] of wanted) {
  if (accounts.size >= ${MAX_ACCOUNTS} || accounts.has(user)) continue
  const more = groups.filter((row) => (row[3] ?? '').split(',').includes(user)).map((row) => Number(row[2]))
  const additionalGids = [...new Set(more)].filter((group) => group !== Number(gid)).slice(0, 256)
  accounts.set(user, { name: user, uid: Number(uid), gid: Number(gid), additionalGids, home: folder.startsWith('/') ? folder : '/' })
}
const socket = net.connect('/run/atoll/dial-home.sock')
socket.end(JSON.stringify([...accounts.values()]))
setInterval(() => {}, 60_000)
`
