import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const COMMAND_DEADLINE_MS = 120_000
/** A command that waits without using the processor: its standard input stays open and empty. */
const WAITING = ['/bin/sh', '-c', 'read forever']

/** The programs in the image: the shell and those that the sections call. */
const PROGRAMS = ['sh', 'true', 'head', 'cat', 'wc', 'mkdir', 'sync', 'test']

/** A Docker Engine with an image that holds a shell and a few programs. */
export interface DockerEngine extends AsyncDisposable {
  /** Runs a program with its arguments by `docker run --rm`. */
  run(...command: string[]): Promise<string>
  /** Runs a shell command by `docker exec` in a container that is kept running for that. */
  exec(command: string): Promise<string>
  /** Runs `docker stop -t 0` and `docker start` of the same container. */
  stopAndStart(): Promise<void>
  /** Starts another container and runs a command in it. */
  startContainer(command: string): Promise<DockerContainer>
}

export interface DockerContainer extends AsyncDisposable {
  /** Makes an image of the running container by `docker commit`, and runs a shell command in it by `docker run --rm`. */
  commitAndRun(command: string): Promise<string>
  /** Removes that image. */
  removeCommitted(): Promise<string>
}

/** Returns the engine, undefined if none runs. The image is made of this host's own programs: nothing is fetched. */
export async function findDockerEngine(): Promise<DockerEngine | undefined> {
  try {
    await docker('version')
  } catch {
    // There is no client, or no engine that answers it.
    return undefined
  }
  const image = `atoll-bench-${process.pid}`
  await importPrograms(image)
  const start = () => docker('run', '--detach', '--interactive', image, ...WAITING)
  const container = await start()
  return {
    run: (...command) => docker('run', '--rm', image, ...command),
    exec: (command) => docker('exec', container, '/bin/sh', '-c', command),
    stopAndStart: async () => {
      await docker('stop', '-t', '0', container)
      await docker('start', container)
    },
    startContainer: async (command) => {
      const filled = await start()
      await docker('exec', filled, '/bin/sh', '-c', command)
      return forkable(filled, `${image}-fork`)
    },
    async [Symbol.asyncDispose]() {
      await docker('rm', '--force', container)
      await docker('rmi', image)
    },
  }
}

function forkable(container: string, image: string): DockerContainer {
  return {
    commitAndRun: async (command) => {
      await docker('commit', container, image)
      return await docker('run', '--rm', image, '/bin/sh', '-c', command)
    },
    removeCommitted: () => docker('rmi', image),
    async [Symbol.asyncDispose]() {
      await docker('rm', '--force', container)
    },
  }
}

async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', args, { timeout: COMMAND_DEADLINE_MS })
  return stdout.trim()
}

async function importPrograms(image: string): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'atoll-bench-image-'))
  mkdirSync(join(root, 'tmp'))
  const programs = PROGRAMS.map((name) => `/bin/${name}`)
  const { stdout } = await execute('ldd', programs)
  const libraries = [...stdout.matchAll(/\s(\/\S+) \(/g)].flatMap(([, path]) => path ?? [])
  for (const file of [...programs, ...libraries]) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    cpSync(file, join(root, file), { dereference: true })
  }
  const tar = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const load = spawn('docker', ['import', '-', image], { stdio: [tar.stdout, 'ignore', 'inherit'] })
  const status = await new Promise((resolve) => load.once('exit', resolve))
  rmSync(root, { recursive: true })
  if (status !== 0) throw new Error('docker import failed')
}
