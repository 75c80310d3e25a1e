import type { Static } from 'typebox'
import { Type } from 'typebox'

/** The read-only folder with a build's input, and the folder it works in. */
export const BUILD_INPUT_DIR = '/build-in'
export const BUILD_DIR = '/build'
/** Begins the last line that a build sends; its exit code follows. */
export const EXIT_MARK = 'atoll-build-exit '

/** Capabilities of root in the steps of a build, out of those that the build itself has. */
const STEP_CAPABILITIES = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],
  ...['CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYS_CHROOT'],
]

/** The input of the program in the build's container, as plan.json. */
export const BuildPlan = Type.Object({
  /** Base images as the Dockerfile names them, and in full; the layout of each is in images/<its number>. */
  images: Type.Array(Type.Object({ written: Type.String(), name: Type.String() })),
})
export type BuildPlan = Static<typeof BuildPlan>

/**
 * Runs buildah as root of the build's user namespace, with the injected Node, and sends buildah's output to the socket.
 * Leaves the image as a layout in ${BUILD_DIR}/out. Base images were fetched before, so there are no credentials here.
 */
export const BUILD_PROGRAM = `
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const at = (name) => '${BUILD_DIR}/' + name
const input = (name) => '${BUILD_INPUT_DIR}/' + name
const { images } = JSON.parse(fs.readFileSync(input('plan.json'), 'utf8'))
for (const name of ['home', 'tmp', 'run', 'store', 'empty']) fs.mkdirSync(at(name), { mode: 0o700, recursive: true })
fs.writeFileSync(at('policy.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
fs.writeFileSync(at('registries.conf'), 'unqualified-search-registries = ["docker.io"]\\n')
fs.writeFileSync(at('containers.conf'), '[containers]\\ndefault_capabilities = ' + JSON.stringify(${JSON.stringify(STEP_CAPABILITIES)}) + '\\n')
fs.writeFileSync(at('storage.conf'), '[storage]\\ndriver = "overlay"\\n')
const env = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C',
  HOME: at('home'), TMPDIR: at('tmp'), XDG_RUNTIME_DIR: at('run'), _CONTAINERS_USERNS_CONFIGURED: 'done',
  CONTAINERS_REGISTRIES_CONF: at('registries.conf'), CONTAINERS_STORAGE_CONF: at('storage.conf'), CONTAINERS_CONF: at('containers.conf'),
}
const socket = net.connect('/run/atoll/dial-home.sock')
const buildah = (command, ...args) => new Promise((resolve) => {
  const store = ['--root', at('store'), '--runroot', at('run'), '--storage-driver', 'overlay']
  const child = spawn('buildah', [...store, command, ...args], { env, cwd: at('home'), stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text) => { out = (out + text).slice(-65536) })
  for (const stream of command === 'pull' ? [child.stderr] : [child.stdout, child.stderr]) stream.pipe(socket, { end: false })
  child.on('error', (error) => { socket.write(error.message + '\\n'); resolve({ code: 127, out }) })
  child.on('close', (code) => resolve({ code: code ?? 1, out }))
})
const must = async (...args) => {
  const { code, out } = await buildah(...args)
  if (code !== 0) throw code
  return out.trim()
}
const build = async () => {
  const policy = ['--signature-policy', at('policy.json')]
  const bases = []
  for (const [number, { written, name: full }] of images.entries()) {
    const id = (await must('pull', '--quiet', ...policy, 'oci:' + input('images/' + number) + ':image')).split('\\n').pop()
    const name = 'localhost/atoll-base-' + number
    // What has a digest in its name cannot be named so here.
    await must('tag', id, name, ...(full.includes('@') ? [] : [full]))
    bases.push('--build-context', written + '=docker-image://' + name)
  }
  const context = fs.existsSync(input('context')) ? input('context') : at('empty')
  const options = ['--isolation', 'chroot', '--pull-never', '--format', 'oci', ...policy, ...bases]
  await must('bud', ...options, '--file', input('Dockerfile'), '--tag', 'localhost/atoll-made', context)
  await must('push', '--quiet', '--disable-compression', ...policy, 'localhost/atoll-made', 'oci:' + at('out') + ':image')
  return 0
}
build().catch((code) => (typeof code === 'number' ? code : (socket.write(String(code) + '\\n'), 1))).then((code) => {
  socket.end('\\n${EXIT_MARK}' + code + '\\n')
  setInterval(() => {}, 60_000)
})
`
