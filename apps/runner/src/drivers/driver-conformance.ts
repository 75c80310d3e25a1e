import { randomUUID } from 'node:crypto'
import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { describeForks } from './driver-fork-conformance.ts'
import { describeRestart, describeTraces } from './driver-restart-conformance.ts'
import type { GetHarness } from './testing/conformance-terms.ts'
import { expectTraces, folders, GRACE_MS, START } from './testing/conformance-terms.ts'
import type { CreateDriverHarness, DriverHarness } from './testing/driver-harness.ts'

const MIB = 1024 * 1024

/** Tests that every driver must pass, whatever it makes sandboxes with. */
export function describeDriver(title: string, createHarness: CreateDriverHarness): void {
  describe(title, () => {
    let harness: DriverHarness
    beforeAll(async () => {
      harness = await createHarness()
    })
    afterAll(() => harness?.[Symbol.asyncDispose]())
    afterEach(async () => {
      for (const { sandboxId } of await harness.driver.list()) await harness.driver.remove(sandboxId)
    })
    const getHarness = () => harness

    describeLifeCycle(getHarness)
    describeLaunches(getHarness)
    describeRefusals(getHarness)
    describeInside(getHarness)
    describeLimits(getHarness)
    describeEnds(getHarness)
    describeForks(getHarness)
    describeRestart(getHarness)
    describeTraces(getHarness)
  })
}

function describeLifeCycle(get: GetHarness): void {
  it('creates a sandbox stopped, and the same again is no change', async () => {
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    const stopped: SandboxStatus = { sandboxId, state: 'stopped' }
    expect(await driver.create(sandboxId, defaultSpec)).toEqual(stopped)
    expect(await driver.create(sandboxId, defaultSpec)).toEqual(stopped)
    expect(await driver.list()).toEqual([stopped])
    expect(await driver.get(sandboxId)).toEqual(stopped)
  })

  it('keeps files over stop and start, under a new token', async () => {
    const { driver } = get()
    const first = await get().startSandbox()
    await first.exec('mkdir -p work && echo kept > work/file && echo tmp > /tmp/file')
    const { sandboxId } = first
    expect(await driver.stop(sandboxId, GRACE_MS)).toEqual({ sandboxId, state: 'stopped' })
    await first.ended
    const second = await get().startSandbox({}, { sandboxId })
    expect((await second.exec('cat work/file /tmp/file')).stdout).toBe('kept\ntmp\n')
  })

  it('takes start, stop and remove twice', async () => {
    const { driver } = get()
    const { sandboxId } = await get().startSandbox()
    expect(await driver.start(sandboxId, START)).toEqual({ sandboxId, state: 'running' })
    await driver.stop(sandboxId, GRACE_MS)
    expect(await driver.stop(sandboxId, GRACE_MS)).toEqual({ sandboxId, state: 'stopped' })
    await driver.remove(sandboxId)
    await driver.remove(sandboxId)
    expect(await driver.list()).toEqual([])
  })

  it('removes a running sandbox, and its name is free again with no files', async () => {
    const { driver } = get()
    const first = await get().startSandbox()
    await first.exec('touch file')
    await driver.remove(first.sandboxId)
    await first.ended
    const second = await get().startSandbox({}, { sandboxId: first.sandboxId })
    expect((await second.exec('ls')).stdout).toBe('')
  })

  it('runs the calls for one sandbox one after the other', async () => {
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    const [created, started, again, stopped, restarted] = await Promise.all([
      driver.create(sandboxId, defaultSpec),
      driver.start(sandboxId, START),
      driver.start(sandboxId, START),
      driver.stop(sandboxId, 0),
      driver.start(sandboxId, START),
    ])
    expect([created.state, started.state, again.state, stopped.state, restarted.state]).toEqual([
      'stopped',
      'running',
      'running',
      'stopped',
      'running',
    ])
    const calls = [driver.remove(sandboxId), driver.start(sandboxId, START)]
    await expect(Promise.all(calls)).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
  })

  it('starts twenty sandboxes at once, each its own', async () => {
    const sandboxes = await Promise.all(Array.from({ length: 20 }, () => get().startSandbox()))
    const names = await Promise.all(sandboxes.map((sandbox) => sandbox.exec('hostname > name; cat name')))
    expect(new Set(names.map((name) => name.stdout)).size).toBe(20)
  })
}

function describeLaunches(get: GetHarness): void {
  it('makes and starts in one, and the same again is no change', async () => {
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    const running: SandboxStatus = { sandboxId, state: 'running' }
    expect(await driver.launch(sandboxId, { spec: defaultSpec, start: START })).toEqual(running)
    expect(await driver.launch(sandboxId, { spec: defaultSpec, start: START })).toEqual(running)
    await driver.stop(sandboxId, GRACE_MS)
    expect(await driver.launch(sandboxId, { spec: defaultSpec, start: START })).toEqual(running)
    const other = { ...defaultSpec, user: 'root' }
    await expect(driver.launch(sandboxId, { spec: other, start: START })).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('leaves what did not start made and stopped', async () => {
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    const start = { ...START, env: { BIG: 'x'.repeat(200_000) } }
    await expect(driver.launch(sandboxId, { spec: defaultSpec, start })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    expect(await driver.get(sandboxId)).toEqual({ sandboxId, state: 'stopped' })
    expect(await driver.launch(sandboxId, { spec: defaultSpec, start: START })).toEqual({ sandboxId, state: 'running' })
  })
}

function describeRefusals(get: GetHarness): void {
  it('says of an unknown sandbox that it is unknown, and of a malformed id that it is none', async () => {
    const { driver, defaultSpec } = get()
    const unknown = { code: 'SANDBOX_NOT_FOUND' }
    await expect(driver.get('nobody')).rejects.toMatchObject(unknown)
    await expect(driver.start('nobody', START)).rejects.toMatchObject(unknown)
    await expect(driver.stop('nobody', 0)).rejects.toMatchObject(unknown)
    await driver.remove('nobody')
    for (const id of ['', '.', '..', '../x', 'a/b', '-a', 'a b', 'a\0b', 'a'.repeat(64), 'ä']) {
      await expect(driver.create(id, defaultSpec)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
      await expect(driver.remove(id)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
  })

  it('refuses a snapshot or a user that is not there, and another spec for a sandbox that is', async () => {
    const { driver, defaultSpec } = get()
    const create = (sandboxId: string, spec: Partial<SandboxSpec>) =>
      driver.create(sandboxId, { ...defaultSpec, ...spec })
    await expect(create('a', { snapshot: '../host' })).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
    await expect(create('a', { user: 'nobody-here' })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await create('a', {})
    await expect(create('a', { network: 'nat' })).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('refuses an environment that no process can be given, and starts the sandbox with a good one then', async () => {
    const { driver, defaultSpec } = get()
    const sandboxId = randomUUID()
    await driver.create(sandboxId, defaultSpec)
    for (const env of [{ 'A=B': '' }, { '': '1' }, { A: 'b\0c' }, { BIG: 'x'.repeat(200_000) }]) {
      await expect(driver.start(sandboxId, { ...START, env })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    expect((await driver.start(sandboxId, START)).state).toBe('running')
  })
}

function describeInside(get: GetHarness): void {
  it('gives the toolbox its token, its id and the environment of the sandbox', async () => {
    const env = {
      GREETING: 'hello there',
      PATH: '/opt/own',
      LD_PRELOAD: '/no',
      ATOLL_TOOLBOX_TOKEN: 'not yours to set',
    }
    const { sandboxId, environment } = await get().startSandbox({}, { env })
    expect(environment).not.toHaveProperty('LD_PRELOAD')
    expect(environment).toMatchObject({
      ATOLL_ENV_GREETING: 'hello there',
      // The folders of the injected programs are around the sandbox's own PATH.
      ATOLL_ENV_PATH: expect.stringContaining(':/opt/own:'),
      ATOLL_ENV_LD_PRELOAD: '/no',
      HOME: '/home/daytona',
      USER: 'daytona',
      ATOLL_SANDBOX_ID: sandboxId,
      ATOLL_TOOLBOX_TOKEN: `token-of-${sandboxId}`,
      ATOLL_CONTROL_URL: 'ws+unix:/run/atoll/dial-home.sock:/api/tunnels/toolbox',
    })
  })

  it('runs as the user asked for, in a home folder that user may write to', async () => {
    const daytona = await get().startSandbox()
    const root = await get().startSandbox({ user: 'root' })
    const script = 'id -un; id -u; pwd; echo $HOME; touch here && echo written'
    expect((await daytona.exec(script)).stdout).toBe('daytona\n1000\n/home/daytona\n/home/daytona\nwritten\n')
    expect((await root.exec(script)).stdout).toBe('root\n0\n/root\n/root\nwritten\n')
  })

  it('runs ordinary programs', async () => {
    const sandbox = await get().startSandbox()
    const shared = await sandbox.exec('git init -q repo && cd repo && echo x > f && git add f && git status --short')
    expect(shared).toMatchObject({ code: 0, stdout: 'A  f\n' })
    expect(await sandbox.exec(['node', '-p', '1 + 1'])).toMatchObject({ code: 0, stdout: '2\n' })
    expect(
      await sandbox.exec('ls -l /dev/null /dev/shm >/dev/null && echo ok > /dev/shm/x && cat /dev/shm/x'),
    ).toMatchObject({
      stdout: 'ok\n',
    })
    expect((await sandbox.exec('cat /etc/hostname; hostname; getent hosts localhost | wc -l')).stdout).toMatch(
      /^(\S+)\n\1\n1\n$/,
    )
  })

  it('collects orphans, so that none stays a zombie', async () => {
    const sandbox = await get().startSandbox()
    const makeOrphan = `sh -c 'sleep 0.01 & echo $! > orphan'`
    await sandbox.exec(`${makeOrphan}; while [ -e /proc/$(cat orphan) ]; do sleep 0.01; done`)
    expect((await sandbox.exec('ps -eo stat | grep -c Z')).stdout).toBe('0\n')
  })

  it('has loopback and no other way out when its network is blocked', async () => {
    const sandbox = await get().startSandbox({ network: 'none' })
    expect((await sandbox.exec('ls /sys/class/net; cat /proc/net/route | wc -l')).stdout).toBe('lo\n1\n')
    const listener =
      "require('net').createServer().listen(0, '127.0.0.1', function () { require('net').connect(this.address().port).on('connect', () => { console.log('up'); process.exit() }) })"
    expect((await sandbox.exec(['node', '-e', listener])).stdout).toBe('up\n')
  })

  it('has a network of its own that starts again with it', async () => {
    if (get().driver.info.limitations.some((limitation) => limitation.startsWith('network'))) return
    const first = await get().startSandbox({ network: 'nat' })
    expect((await first.exec('ls /sys/class/net | wc -l; wc -l < /proc/net/route')).stdout).toMatch(/^2\n[2-9]\n$/)
    await get().driver.stop(first.sandboxId, 0)
    const second = await get().startSandbox({ network: 'nat' }, { sandboxId: first.sandboxId })
    expect((await second.exec('ls /sys/class/net | wc -l; wc -l < /proc/net/route')).stdout).toMatch(/^2\n[2-9]\n$/)
  })
}

function describeLimits(get: GetHarness): void {
  it('kills what takes more memory than the limit, and nothing else', async () => {
    const sandbox = await get().startSandbox()
    const greedy = await sandbox.exec(['node', '-e', 'const a = []; for (;;) a.push(Buffer.alloc(8 << 20, 1))'])
    expect(greedy.signal).toBe('SIGKILL')
    const modest = await sandbox.exec(['node', '-e', 'console.log(Buffer.alloc(64 << 20, 1).length)'])
    expect(modest.stdout).toBe(`${64 * MIB}\n`)
  })

  it('lets no more processes live than the limit', async () => {
    const sandbox = await get().startSandbox({ limits: { ...get().defaultSpec.limits, pids: 40 } })
    const result = await sandbox.exec(['sh', '-c', 'for i in $(seq 100); do sleep 1000 >/dev/null 2>&1 & done'])
    expect(result.stderr).toMatch(/fork/i)
    await get().driver.remove(sandbox.sandboxId)
    await expectTraces(get, [])
  })

  it('gives the cpu time of the limit and no more', async () => {
    const sandbox = await get().startSandbox({ limits: { ...get().defaultSpec.limits, cpu: 0.25 } })
    // Compares the cpu time used with the wall time that the same process saw pass: a slow machine only lowers the ratio.
    const spin = `const t = process.hrtime.bigint(), c = process.cpuUsage(); let n = 0
      while (process.hrtime.bigint() - t < 1_000_000_000n) n++
      const { user, system } = process.cpuUsage(c)
      console.log((user + system) / Number((process.hrtime.bigint() - t) / 1000n))`
    const share = Number((await sandbox.exec(['node', '-e', spin])).stdout)
    expect(share).toBeLessThan(0.5)
    expect(share).toBeGreaterThan(0)
  })

  it('lets no more be written than the disk holds, and what is deleted can be written again', async () => {
    if (get().driver.info.limitations.some((limitation) => limitation.startsWith('disk quota'))) return
    const sandbox = await get().startSandbox()
    const full = await sandbox.exec('dd if=/dev/zero of=big bs=1M count=300; echo; stat -c %s big')
    expect(full.stderr).toContain('No space left on device')
    const written = Number(full.stdout.trim())
    expect(written).toBeGreaterThan(150 * MIB)
    expect(written).toBeLessThan(256 * MIB)
    expect((await sandbox.exec('rm big && dd if=/dev/zero of=again bs=1M count=100 && stat -c %s again')).stdout).toBe(
      `${100 * MIB}\n`,
    )
  })
}

function describeEnds(get: GetHarness): void {
  it('ends processes politely within the grace, and by force after it', async () => {
    const { driver } = get()
    const polite = await get().startSandbox()
    await driver.stop(polite.sandboxId, GRACE_MS)
    const stubborn = await get().startSandbox()
    await stubborn.exec(
      `setsid sh -c 'trap "" TERM; echo started > up; while :; do sleep 1; done' >/dev/null 2>&1 &
      until [ -e up ]; do sleep 0.01; done`,
    )
    await driver.stop(stubborn.sandboxId, 1)
    expect((await get().traces()).filter((trace) => trace.includes('trap "" TERM'))).toEqual([])
    await expectTraces(get, folders(polite, stubborn))
  })

  it('tells that a sandbox ended, and with which code', async () => {
    const sandbox = await get().startSandbox()
    const status = get().nextStatus(sandbox.sandboxId)
    sandbox.exit(7)
    expect(await status).toEqual({ sandboxId: sandbox.sandboxId, state: 'stopped', reason: 'exit 7' })
    expect(await get().driver.get(sandbox.sandboxId)).toEqual(await status)
    const again = await get().startSandbox({}, { sandboxId: sandbox.sandboxId })
    await get().driver.stop(again.sandboxId, 0)
    expect(await get().driver.get(sandbox.sandboxId)).toEqual({ sandboxId: sandbox.sandboxId, state: 'stopped' })
  })

  it('tells that a sandbox was killed from outside', async () => {
    const sandbox = await get().startSandbox()
    const status = get().nextStatus(sandbox.sandboxId)
    await get().killFirstProcess(sandbox.sandboxId)
    expect(await status).toMatchObject({ state: 'stopped', reason: 'killed by SIGKILL' })
    await expectTraces(get, folders(sandbox))
  })

  it('tells that a sandbox ended for want of memory', async () => {
    const sandbox = await get().startSandbox({ user: 'root' })
    const status = get().nextStatus(sandbox.sandboxId)
    // The kernel kills the process with the highest score: the script gives that to the agent.
    const bomb = `for pid in /proc/[0-9]*; do echo -900 > $pid/oom_score_adj; done 2>/dev/null
      agent=$(ps -o ppid= $$ | tr -d " "); echo 1000 > /proc/$agent/oom_score_adj
      exec node -e 'const a = []; for (;;) a.push(Buffer.alloc(8 << 20, 1))'`
    await expect(sandbox.exec(bomb)).rejects.toThrow('the sandbox ended')
    expect(await status).toMatchObject({ state: 'stopped', reason: 'killed: out of memory' })
  })

  it('tells nothing of an end that was asked for', async () => {
    const told: SandboxStatus[] = []
    const unsubscribe = get().driver.onStatusChange((status) => told.push(status))
    const asked = await get().startSandbox()
    const unasked = await get().startSandbox()
    await get().driver.stop(asked.sandboxId, GRACE_MS)
    const status = get().nextStatus(unasked.sandboxId)
    unasked.exit(0)
    expect(told.concat(await status)).toEqual([await status, await status].slice(0, told.length + 1))
    unsubscribe()
  })
}
