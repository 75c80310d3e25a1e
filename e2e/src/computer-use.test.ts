import { describe, expect, it } from 'vitest'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { call, sdk23 } from './testing/shared-system.ts'

const own = ownSandbox218()

const MESSAGE = 'Computer-use functionality is not available'

describe('computer use, which is not in this version', () => {
  it('is refused to SDK 0.218, with the reason', async () => {
    const { computerUse } = own.sandbox
    await expect(computerUse.start()).rejects.toThrow(MESSAGE)
    await expect(computerUse.getStatus()).rejects.toThrow(MESSAGE)
    await expect(computerUse.screenshot.takeFullScreen()).rejects.toThrow(MESSAGE)
    await expect(computerUse.mouse.click(1, 1)).rejects.toThrow(MESSAGE)
  })

  it('is refused to SDK 0.23', async () => {
    const sandbox = await sdk23().get(own.sandbox.id)
    await expect(sandbox.computerUse.start()).rejects.toThrow(MESSAGE)
    await expect(sandbox.computerUse.keyboard.type('a')).rejects.toThrow(MESSAGE)
  })

  // The list of operations comes from the OpenAPI document.
  it('is refused in every operation of the OpenAPI document, in both generations of paths', async () => {
    const { paths } = (await (await call('/docs/json')).json()) as { paths: Record<string, object> }
    const operations = Object.entries(paths).flatMap(([path, methods]) => {
      const [, below] = path.split('/toolbox/computeruse')
      return below === undefined ? [] : Object.keys(methods).map((method) => ({ method: method.toUpperCase(), below }))
    })
    expect(operations).toHaveLength(33)
    for (const { method, below } of operations) {
      const path = `/computeruse${below.replace(/\{\w+\}/g, 'one')}`
      for (const root of [`/toolbox/${own.sandbox.id}/toolbox`, `/toolbox-proxy/${own.sandbox.id}`]) {
        const answer = await call(root + path, { method })
        expect(answer.status, `${method} ${path}`).toBe(503)
        const [details, solution] = [expect.any(String), expect.any(String)]
        expect(await answer.json()).toMatchObject({ message: MESSAGE, details, solution, statusCode: 503 })
      }
    }
  })
})
