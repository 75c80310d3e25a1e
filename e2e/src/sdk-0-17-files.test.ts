import { describe, expect, it } from 'vitest'
import { ownSandbox17 } from './testing/own-sandbox.ts'

const own = ownSandbox17()

describe('files through SDK 0.17', () => {
  it('come back as they went', async () => {
    await own.sandbox.fs.uploadFile('roundtrip/text.txt', new File(['plain, with ü\n'], 'text.txt'))
    expect((await own.sandbox.fs.downloadFile('roundtrip/text.txt')).toString()).toBe('plain, with ü\n')
  })

  it('go up several at once', async () => {
    await own.sandbox.fs.uploadFiles([
      { path: 'several/one', content: new File(['file one'], 'one') },
      { path: 'several/two', content: new File(['file two'], 'two') },
    ])
    const { result } = await own.sandbox.process.executeCommand('cat several/one several/two')
    expect(result).toBe('file onefile two')
  })

  it('are listed, described, moved and deleted; folders are made', async () => {
    const { fs } = own.sandbox
    await fs.createFolder('made/here', '750')
    await fs.uploadFile('made/here/.hidden', new File(['12345'], '.hidden'))
    expect(await fs.getFileDetails('made/here')).toMatchObject({ isDir: true, permissions: '0750' })
    expect(await fs.listFiles('made/here')).toMatchObject([{ name: '.hidden', size: 5, isDir: false }])
    await fs.moveFiles('made/here/.hidden', 'made/shown')
    expect((await fs.listFiles('made')).map((file) => file.name).sort()).toEqual(['here', 'shown'])
    await fs.deleteFile('made/shown')
    await expect(fs.getFileDetails('made/shown')).rejects.toThrow()
  })
})
