import { randomUUID } from 'node:crypto'
import type { SandboxSpec } from '@atoll/protocol'
import { expect, it } from 'vitest'
import type { GetHarness } from './testing/conformance-terms.ts'
import { expectTraces, GRACE_MS } from './testing/conformance-terms.ts'
import type { ProbedSandbox } from './testing/driver-harness.ts'

/** Number of forks that are made at once of one sandbox. */
const MANY = 20

/** A script that makes every kind of file, with every attribute that a file system can keep of one. */
const MAKE_TREE = `
mkdir -p tree/deep && cd tree
echo text > deep/file && ln deep/file hard && ln -s deep/file soft && ln -s /nowhere dangling
chmod 4751 hard && mkfifo pipe && mkdir sticky && chmod 1777 sticky
truncate -s 300M sparse && printf x | dd of=sparse bs=1 seek=200M conv=notrunc 2>/dev/null
chown 12:34 deep && touch -d @1234567890.123456789 deep/file
python3 -c 'import os; os.setxattr("deep/file", "user.color", b"blue")' && rm /etc/profile
`
const TELL_TREE = `
cd tree && find . -printf '%p %y %m %U:%G %n %s %l\\n' | sort
stat -c %y deep/file && du --block-size=1M sparse | cut -f 1 && od -An -c -j 209715200 -N 1 sparse
python3 -c 'import os; print(os.getxattr("deep/file", "user.color"))' && ls /etc/profile 2>&1
`

/** Tests of forks: a fork has the files that its parent had at one moment. */
export function describeForks(get: GetHarness): void {
  const fork: Fork = async (parent, spec = {}, sandboxId = randomUUID()) =>
    get().startSandbox({ ...spec, forkOf: parent }, { sandboxId })
  describeFiles(get, fork)
  describeForkCalls(get, fork)
  describeMoment(get, fork)
  describeManyForks(get)
}

type Fork = (parent: string, spec?: Partial<SandboxSpec>, sandboxId?: string) => Promise<ProbedSandbox>

async function read(sandbox: ProbedSandbox, command: string): Promise<string> {
  return (await sandbox.exec(command)).stdout
}

function describeFiles(get: GetHarness, fork: Fork): void {
  it('forks a running sandbox, which goes on, with every file as it is', async () => {
    const root = { user: 'root' }
    const parent = await get().startSandbox(root)
    expect((await parent.exec(MAKE_TREE)).code).toBe(0)
    await parent.exec('sh -c "while :; do date +%s%N > ticks; sleep 0.01; done" >/dev/null 2>&1 & echo $! > pid')
    const told = await read(parent, TELL_TREE)
    expect(told).toMatch(/hard f 4751 0:0 2 5 \n/)
    const child = await fork(parent.sandboxId, root)
    expect(await read(child, TELL_TREE)).toBe(told)
    await child.exec('echo mine > tree/hard')
    expect(await read(parent, 'cat tree/hard; kill -0 $(cat pid) && echo runs')).toBe('text\nruns\n')
    expect(await read(parent, 'seen=$(cat ticks); until [ "$(cat ticks)" != "$seen" ]; do :; done; echo on')).toBe(
      'on\n',
    )
    expect(await read(child, 'cat tree/deep/file; hostname; ps -e | grep -c sleep')).toMatch(/^mine\n\S+\n0\n$/)
    expect(await read(child, 'hostname')).not.toBe(await read(parent, 'hostname'))
    expect(child.environment['ATOLL_TOOLBOX_TOKEN']).toBe(`token-of-${child.sandboxId}`)
  })

  it('forks a stopped sandbox, and a fork, and each outlives the others', async () => {
    const parent = await get().startSandbox()
    await parent.exec('echo one > file')
    await get().driver.stop(parent.sandboxId, GRACE_MS)
    const child = await fork(parent.sandboxId)
    expect(await read(child, 'cat file && echo two >> file && echo ok')).toBe('one\nok\n')
    const grandchild = await fork(child.sandboxId)
    await get().driver.remove(child.sandboxId)
    expect(await read(grandchild, 'cat file && echo three >> file')).toBe('one\ntwo\n')
    const again = await get().startSandbox({}, { sandboxId: parent.sandboxId })
    expect(await read(again, 'cat file')).toBe('one\n')
    await get().driver.remove(parent.sandboxId)
    expect(await read(grandchild, 'cat file')).toBe('one\ntwo\nthree\n')
    await get().driver.remove(grandchild.sandboxId)
    await expectTraces(get, [])
  })
}

function describeForkCalls(get: GetHarness, fork: Fork): void {
  it('does not take newer files for a call that was done before, whatever became of the parent', async () => {
    const parent = await get().startSandbox()
    await parent.exec('echo old > file')
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    const spec = { ...defaultSpec, forkOf: parent.sandboxId }
    await driver.create(sandboxId, spec)
    await parent.exec('echo new > file')
    expect(await driver.create(sandboxId, spec)).toEqual({ sandboxId, state: 'stopped' })
    await driver.remove(parent.sandboxId)
    expect(await driver.create(sandboxId, spec)).toEqual({ sandboxId, state: 'stopped' })
    expect(await read(await fork(parent.sandboxId, {}, sandboxId), 'cat file')).toBe('old\n')
    await expect(driver.create(sandboxId, defaultSpec)).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('refuses what cannot be a fork, and leaves nothing of it', async () => {
    const { driver, defaultSpec } = get()
    await driver.create('parent', defaultSpec)
    const limits = { ...defaultSpec.limits, diskGiB: defaultSpec.limits.diskGiB / 2 }
    const create = (spec: object) => driver.create('child', { ...defaultSpec, forkOf: 'parent', ...spec })
    await expect(create({ forkOf: 'nobody' })).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
    await expect(create({ forkOf: 'child' })).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
    await expect(create({ limits })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await expectTraces(get, ['folder parent'])
    await create({})
  })

  it('gives a fork a larger disk where it is asked to', async () => {
    if (get().driver.info.limitations.some((limitation) => limitation.startsWith('disk quota'))) return
    const parent = await get().startSandbox()
    await parent.exec('echo kept > file')
    const child = await fork(parent.sandboxId, { limits: { ...get().defaultSpec.limits, diskGiB: 0.5 } })
    expect(await read(child, 'cat file; [ $(df --output=size -k . | tail -n 1) -gt 400000 ] && echo larger')).toBe(
      'kept\nlarger\n',
    )
  })
}

function describeMoment(get: GetHarness, fork: Fork): void {
  it('holds the files of one moment, of a parent that writes as fast as it can', async () => {
    const parent = await get().startSandbox()
    // Each round writes the same number to many files, one after the other, and much other data between them.
    await parent.exec(
      `cat > writer.js <<'END'
      const { writeFileSync, renameSync } = require('fs')
      const bulk = Buffer.alloc(1 << 20, 7)
      for (let round = 1; ; round += 1) for (let file = 0; file < 20; file += 1) {
        writeFileSync('draft', String(round)); renameSync('draft', 'file-' + file); writeFileSync('bulk-' + file, bulk)
      }
END
      node writer.js > /dev/null 2>&1 &
      until [ -e file-19 ]; do sleep 0.01; done`,
    )
    for (let times = 0; times < 3; times += 1) {
      const child = await fork(parent.sandboxId)
      const rounds = (await read(child, 'for n in $(seq 0 19); do cat file-$n; echo; done'))
        .trim()
        .split('\n')
        .map(Number)
      expect(rounds).toHaveLength(20)
      const [first = 0] = rounds
      // Files written before the moment have its round, and those after it the round before.
      expect(new Set(rounds.slice(0, rounds.lastIndexOf(first) + 1))).toEqual(new Set([first]))
      expect(new Set(rounds.slice(rounds.lastIndexOf(first) + 1)).size).toBeLessThan(2)
      expect(rounds.every((round) => round === first || round === first - 1)).toBe(true)
      expect(await read(child, 'cat bulk-* | tr -d "\\007" | wc -c; touch works && ls works')).toBe('0\nworks\n')
      await get().driver.remove(child.sandboxId)
    }
    expect(await read(parent, 'pgrep -f writer.js | wc -l')).not.toBe('0\n')
  })
}

function describeManyForks(get: GetHarness): void {
  it(`makes ${MANY} forks at once, of which some are removed at once, while their parent is used`, async () => {
    const { driver, defaultSpec } = get()
    const parent = await get().startSandbox()
    await parent.exec('echo kept > file')
    const ids = Array.from({ length: MANY }, () => randomUUID())
    const spec = { ...defaultSpec, forkOf: parent.sandboxId }
    const changes = ids.flatMap((id, index) => [driver.create(id, spec), ...(index % 2 ? [driver.remove(id)] : [])])
    expect(await read(parent, 'cat file')).toBe('kept\n')
    await Promise.all(changes)
    const left = ids.filter((_, index) => index % 2 === 0)
    expect((await driver.list()).map(({ sandboxId }) => sandboxId).sort()).toEqual([parent.sandboxId, ...left].sort())
    const [first = ''] = left
    expect(await read(await get().startSandbox(spec, { sandboxId: first }), 'cat file')).toBe('kept\n')
  })

  it('lets the parent go on, and has whole forks or none, after a kill -9 meanwhile', async () => {
    const parent = await get().startSandbox()
    await parent.exec('dd if=/dev/urandom of=bulk bs=1M count=20 2>/dev/null; sha256sum bulk > sum')
    const spec = { ...get().defaultSpec, forkOf: parent.sandboxId }
    for (const wanted of [1, 3]) {
      const ids = Array.from({ length: 6 }, () => randomUUID())
      let done = 0
      let onEnough: () => void = () => undefined
      const enough = new Promise<void>((resolve) => {
        onEnough = resolve
      })
      const forks = ids.map(async (sandboxId) => {
        await get().driver.create(sandboxId, spec)
        done += 1
        if (done >= wanted) onEnough()
      })
      const settled = Promise.allSettled(forks)
      await enough
      await get().crash()
      await settled
      expect(await read(parent, 'sha256sum -c sum')).toBe('bulk: OK\n')
      for (const sandboxId of ids) {
        const child = await get().startSandbox(spec, { sandboxId })
        expect(await read(child, 'sha256sum -c sum')).toBe('bulk: OK\n')
        await get().driver.remove(sandboxId)
      }
    }
    await get().driver.stop(parent.sandboxId, GRACE_MS)
    await expectTraces(get, [`folder ${parent.sandboxId}`])
  })
}
