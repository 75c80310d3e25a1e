import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const COMMAND_DEADLINE_MS = 60_000

/** A Docker Engine with an image that holds a shell and nothing else. */
export interface DockerEngine extends AsyncDisposable {
  /** `docker run --rm` of a shell command. */
  run(command: string): Promise<string>
  /** `docker exec` of a shell command in a container that runs for that. */
  exec(command: string): Promise<string>
}

/** Undefined where no engine runs. The image is made of this host's own shell: nothing is fetched. */
export async function findDockerEngine(): Promise<DockerEngine | undefined> {
  try {
    await docker('version')
  } catch {
    // No client, or nothing that answers it.
    return undefined
  }
  const image = `atoll-bench-${process.pid}`
  await importShell(image)
  // Its standard input stays open and silent: it waits without using the processor.
  const container = await docker('run', '--detach', '--interactive', image, '/bin/sh', '-c', 'read forever')
  return {
    run: (command) => docker('run', '--rm', image, '/bin/sh', '-c', command),
    exec: (command) => docker('exec', container, '/bin/sh', '-c', command),
    async [Symbol.asyncDispose]() {
      await docker('rm', '--force', container)
      await docker('rmi', image)
    },
  }
}

async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', args, { timeout: COMMAND_DEADLINE_MS })
  return stdout.trim()
}

async function importShell(image: string): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'atoll-bench-image-'))
  const { stdout } = await execute('ldd', ['/bin/sh'])
  const libraries = [...stdout.matchAll(/(\/\S+)/g)].flatMap(([, path]) => path ?? [])
  for (const file of ['/bin/sh', ...libraries]) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    cpSync(file, join(root, file), { dereference: true })
  }
  const tar = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const load = spawn('docker', ['import', '-', image], { stdio: [tar.stdout, 'ignore', 'inherit'] })
  const status = await new Promise((resolve) => load.once('exit', resolve))
  rmSync(root, { recursive: true })
  if (status !== 0) throw new Error('docker import failed')
}
