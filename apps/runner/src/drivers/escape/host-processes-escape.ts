import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GetHarness } from './escape-scene.ts'
import { ATTACKERS, systemCalls, useEscapeScene } from './escape-scene.ts'

const ESRCH = 3
/** More processes than an idle sandbox has, and fewer than a host. */
const FEW_PROCESSES = 12

/** Tests that a sandbox neither sees nor touches processes of its host. */
export function describeHostProcessesEscape(getHarness: GetHarness): void {
  describe('host processes', () => {
    const scene = useEscapeScene(getHarness)
    let bystander: ChildProcess
    beforeAll(async () => {
      bystander = spawn(process.execPath, ['-e', 'process.stdin.resume()', scene().secretName], {
        stdio: ['pipe', 'ignore', 'ignore'],
        env: { ATOLL_BYSTANDER: scene().secret },
      })
      await once(bystander, 'spawn')
    })
    afterAll(() => {
      bystander.kill('SIGKILL')
    })

    it.each(ATTACKERS)('are not seen, neither their arguments nor their environment, as %s', async (attacker) => {
      const { stdout } = await scene().attack(
        attacker,
        'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; echo; ls -d /proc/[0-9]* | wc -l',
      )
      expect(stdout).not.toContain(scene().secret)
      expect(Number(stdout.trim().split('\n').at(-1))).toBeLessThan(FEW_PROCESSES)
    })

    it.each(ATTACKERS)('are not signalled, nor killed with everything else, as %s', async (attacker) => {
      const { stdout } = await scene().attack(
        attacker,
        `kill -9 ${bystander.pid} || echo gone; kill -0 ${process.pid} || echo gone`,
      )
      expect(stdout).toBe('gone\ngone\n')
      expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null])
    })

    it.each(ATTACKERS)('are not traced or written to, as %s', async (attacker) => {
      const pid = Number(bystander.pid)
      const calls = systemCalls(
        [101, 117, 16, pid, 0, 0],
        [310, 270, pid, 0, 0, 0, 0, 0],
        [434, 434, pid, 0],
        [141, 140, 0, pid, -20],
      )
      const { stdout } = await scene().attack(attacker, calls)
      const [traced, read, opened, renice] = stdout.trim().split('\n').map(Number)
      expect({ traced, opened, renice }).toEqual({ traced: ESRCH, opened: ESRCH, renice: ESRCH })
      expect([0, ESRCH]).toContain(read)
    })

    it.each(ATTACKERS)('end with no signal to all that may be signalled, as %s', async (attacker) => {
      const { harness } = scene()
      const victim = await harness.startSandbox({ user: attacker })
      await Promise.race([
        victim.ended,
        victim.exec(`grep -q ${scene().secret} /proc/[0-9]*/environ || kill -9 -1`).catch(() => undefined),
      ])
      await harness.driver.remove(victim.sandboxId)
      expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null])
      expect((await scene().attack('daytona', 'echo still')).stdout).toBe('still\n')
    })
  })
}
