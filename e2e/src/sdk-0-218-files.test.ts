import { describe, expect, it } from 'vitest'
import { ownSandbox218 } from './testing/own-sandbox.ts'

const own = ownSandbox218()

describe('files through SDK 0.218', () => {
  it('go up from a buffer', async () => {
    await own.sandbox.fs.uploadFile(Buffer.from('plain, with ü\n'), 'roundtrip/text.txt')
    expect((await own.sandbox.process.executeCommand('cat roundtrip/text.txt')).result).toBe('plain, with ü\n')
  })

  it('go up several at once', async () => {
    await own.sandbox.fs.uploadFiles([
      { source: Buffer.from('file one'), destination: 'several/one' },
      { source: Buffer.from('file two'), destination: 'several/deeper/two' },
    ])
    const { result } = await own.sandbox.process.executeCommand('cat several/one several/deeper/two')
    expect(result).toBe('file onefile two')
  })

  it('are listed, described, moved and deleted; folders are made', async () => {
    const { fs } = own.sandbox
    await fs.createFolder('made/here', '750')
    await fs.uploadFile(Buffer.from('12345'), 'made/here/.hidden')
    expect(await fs.getFileDetails('made/here')).toMatchObject({ isDir: true, permissions: '0750' })
    expect(await fs.listFiles('made/here')).toMatchObject([{ name: '.hidden', size: 5, isDir: false }])
    await fs.moveFiles('made/here/.hidden', 'made/shown')
    expect((await fs.listFiles('made')).map((file) => file.name).sort()).toEqual(['here', 'shown'])
    await fs.deleteFile('made/shown')
    await expect(fs.getFileDetails('made/shown')).rejects.toThrow()
  })
})
