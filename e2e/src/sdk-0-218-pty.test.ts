import { randomUUID } from 'node:crypto'
import type { PtyHandle } from 'daytona-sdk-0-218'
import { DaytonaNotFoundError } from 'daytona-sdk-0-218'
import { describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'

const own = ownSandbox218()

/** The output that a viewer has received so far. */
class Screen {
  readonly #decoder = new TextDecoder()
  text = ''
  readonly onData = (data: Uint8Array): void => {
    this.text += this.#decoder.decode(data, { stream: true })
  }
  shows(wanted: string): Promise<void> {
    return eventually(`the terminal shows ${wanted}`, async () => this.text.includes(wanted))
  }
}

async function open() {
  const [id, screen] = [randomUUID(), new Screen()]
  const pty: PtyHandle = await own.sandbox.process.createPty({ id, onData: screen.onData })
  return { id, pty, screen }
}

describe('terminals with several viewers, through SDK 0.218,', () => {
  it('change their size for all', async () => {
    const { id, pty, screen } = await open()
    expect(await pty.resize(121, 41)).toMatchObject({ id, cols: 121, rows: 41 })
    await pty.sendInput('stty size\n')
    await screen.shows('41 121')
    await own.sandbox.process.resizePtySession(id, 90, 20)
    await pty.sendInput('stty size\n')
    await screen.shows('20 90')
    await pty.kill()
  })

  it('are seen by a second viewer, who is shown what was before', async () => {
    const { id, pty, screen } = await open()
    await pty.sendInput('echo first-$((1+1))\n')
    await screen.shows('first-2')
    const second = new Screen()
    const viewer = await own.sandbox.process.connectPty(id, { onData: second.onData })
    await second.shows('first-2')
    await viewer.sendInput(new TextEncoder().encode('echo second-$((2+2))\n'))
    await Promise.all([screen.shows('second-4'), second.shows('second-4')])
    await viewer.disconnect()
    await pty.sendInput('echo still-$((3+3))\n')
    await screen.shows('still-6')
    await pty.kill()
  })

  it('tell all viewers how they ended', async () => {
    const { id, pty } = await open()
    const viewer = await own.sandbox.process.connectPty(id, { onData: () => {} })
    await pty.sendInput('exit 7\n')
    expect(await Promise.all([pty.wait(), viewer.wait()])).toMatchObject([{ exitCode: 7 }, { exitCode: 7 }])
    const good = await open()
    await good.pty.sendInput('exit 0\n')
    expect(await good.pty.wait()).toMatchObject({ exitCode: 0 })
  })

  it('are interrupted by Ctrl-C', async () => {
    const { pty, screen } = await open()
    await pty.sendInput('echo ready-$((1+1)); sleep 600\n')
    await screen.shows('ready-2')
    await pty.sendInput('\u0003')
    await pty.sendInput('echo on-$((2+2))\n')
    await screen.shows('on-4')
    await pty.kill()
  })

  it('are listed until they are killed', async () => {
    const { process } = own.sandbox
    const { id, pty } = await open()
    expect(await process.listPtySessions()).toContainEqual(expect.objectContaining({ id, cols: 80, rows: 24 }))
    await expect(process.createPty({ id, onData: () => {} })).rejects.toThrow(/exist/i)
    await process.killPtySession(id)
    expect(await pty.wait()).toMatchObject({ exitCode: expect.any(Number) })
    await eventually('it is gone or ended', async () => {
      const mine = (await process.listPtySessions()).find((one) => one.id === id)
      return mine === undefined || mine.active === false
    })
    await expect(process.connectPty('no such terminal', { onData: () => {} })).rejects.toThrow()
    await expect(process.getPtySessionInfo('no such terminal')).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })
})
