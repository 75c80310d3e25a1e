import type { Sandbox } from '@daytonaio/sdk'
import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import type { LifeClient } from './life-client.ts'
import { againstFirst, compareInTurn } from './measure.ts'

const ROUNDS = 5
const TARGET = 0.2
/** The command that writes 64 files of 16 MiB that no file system can compress. */
const WRITE_FILES =
  'mkdir /tmp/fork && cd /tmp/fork && head -c 16777216 /dev/urandom > 0 && i=1 && ' +
  'while [ $i -lt 64 ]; do cat 0 > $i; i=$((i + 1)); done && sync'
const COUNT_FILES = 'test $(cat /tmp/fork/* | wc -c) = 1073741824'

/** Measures the fork of a running sandbox until the first command's result in the new one. */
export async function benchFork(life: LifeClient, engine: DockerEngine | undefined): Promise<BenchSection> {
  const origin = await life.create()
  const made: Sandbox[] = []
  const forkAndExecute = async () => {
    const sandbox = await life.fork(origin)
    made.push(sandbox)
    await life.execute(sandbox, 'test -s /tmp/fork/63')
  }
  const after = () => life.remove(made.splice(0))
  const title = 'fork of 1 GiB of files to first result'
  try {
    await life.execute(origin, WRITE_FILES)
    await life.execute(origin, COUNT_FILES)
    if (!(await canFork(forkAndExecute))) return { title: `${title}: not measured, this system cannot fork`, rows: [] }
    await life.execute(made[0] ?? origin, COUNT_FILES)
    await after()
    await using container = await engine?.startContainer(WRITE_FILES)
    const rows = await compareInTurn(ROUNDS, [
      ...(container
        ? [
            {
              name: 'docker commit, docker run --rm',
              run: () => container.commitAndRun('test -s /tmp/fork/63'),
              after: () => container.removeCommitted(),
            },
          ]
        : []),
      { name: 'fork, execute', run: forkAndExecute, after },
    ])
    return {
      title: `${title}${engine ? '' : ' (no Docker Engine runs here)'}`,
      rows: engine ? againstFirst(rows, [undefined, TARGET]) : rows,
    }
  } finally {
    await life.remove([origin])
  }
}

/** Returns whether the system can fork: one without that route returns 404. */
async function canFork(fork: () => Promise<void>): Promise<boolean> {
  try {
    await fork()
    return true
  } catch (error) {
    if (error instanceof Error && error.message.includes('/fork: 404 ')) return false
    throw error
  }
}
