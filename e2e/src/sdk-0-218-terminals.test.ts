import { describe, expect, it } from 'vitest'
import { ownSandbox218 } from './testing/own-sandbox.ts'

const own = ownSandbox218()

/** Collects what a terminal writes, and waits for words in it. */
function screen() {
  let text = ''
  let wake = () => {}
  return {
    onData(data: Uint8Array) {
      text += new TextDecoder().decode(data)
      wake()
    },
    async until(words: string) {
      while (!text.includes(words)) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return text
    },
  }
}

describe('terminals of SDK 0.218', () => {
  it('are created with an environment, a folder and a size, typed into and resized', async () => {
    const { onData, until } = screen()
    const pty = await own.sandbox.process.createPty({
      id: 'first',
      cwd: '/tmp',
      envs: { GREETING: 'grüß dich' },
      cols: 100,
      rows: 30,
      onData,
    })
    await pty.sendInput('echo "[$(id -un) $PWD $GREETING $(stty size)]"\r')
    await until(' /tmp grüß dich 30 100]')
    expect(await pty.resize(120, 40)).toMatchObject({ id: 'first', cols: 120, rows: 40, active: true })
    await pty.sendInput('echo "[$(stty size)]"\r')
    await until('[40 120]')
    await pty.sendInput('exit 7\r')
    expect(await pty.wait()).toEqual({ exitCode: 7, error: 'exited with code 7' })
  })

  it('outlive their client, who may connect again', async () => {
    const before = screen()
    const pty = await own.sandbox.process.createPty({ id: 'kept', onData: before.onData })
    await pty.sendInput('echo be""fore\r')
    await before.until('before')
    await pty.disconnect()
    const after = screen()
    const again = await own.sandbox.process.connectPty('kept', { onData: after.onData })
    await after.until('before')
    await again.sendInput('echo af""ter\r')
    await after.until('after')
    expect((await own.sandbox.process.listPtySessions()).map(({ id }) => id)).toContain('kept')
    await again.kill()
    expect((await again.wait()).exitCode).toBeGreaterThan(128)
    await expect(own.sandbox.process.getPtySessionInfo('kept')).rejects.toThrow('there is no terminal "kept"')
  })

  it('say what is wrong', async () => {
    const { onData } = screen()
    await expect(own.sandbox.process.connectPty('none', { onData })).rejects.toThrow('there is no terminal "none"')
    await own.sandbox.process.createPty({ id: 'twice', onData })
    await expect(own.sandbox.process.createPty({ id: 'twice', onData })).rejects.toThrow('exists already')
  })
})
