import { describe, expect, it } from 'vitest'
import type { AnySandbox } from './in-sandbox.ts'
import { shell, writeFileIn } from './in-sandbox.ts'
import type { OwnSandbox } from './own-sandbox.ts'

/** A sandbox of any SDK generation, with file search. */
export interface SearchSandbox extends AnySandbox {
  readonly fs: {
    findFiles(path: string, pattern: string): Promise<{ file: string; line: number; content: string }[]>
    searchFiles(path: string, pattern: string): Promise<{ files: string[] }>
    replaceInFiles(files: string[], pattern: string, value: string): Promise<{ success?: boolean; error?: string }[]>
    setFilePermissions(path: string, permissions: { mode?: string; owner?: string; group?: string }): Promise<void>
    getFileDetails(path: string): Promise<{ permissions: string }>
  }
}

/** Tests the search for text and names, the replacement of text, and permissions. */
export function describeSearch(title: string, own: OwnSandbox<SearchSandbox>): void {
  describe(`searching files through ${title}`, () => {
    const folder = '/home/daytona/searched'

    it('finds text in files, and files by their names', async () => {
      await writeFileIn(own.sandbox, `${folder}/one.txt`, 'nothing\nthe needle [x]\n')
      await writeFileIn(own.sandbox, `${folder}/deep/two.md`, 'needle [x]\n')
      await writeFileIn(own.sandbox, `${folder}/deep/binary`, 'needle [x]\0\n')
      const { fs } = own.sandbox
      const matches = await fs.findFiles('searched', 'needle [x]')
      expect(matches.sort((one, other) => one.line - other.line)).toEqual([
        { file: `${folder}/deep/two.md`, line: 1, content: 'needle [x]' },
        { file: `${folder}/one.txt`, line: 2, content: 'the needle [x]' },
      ])
      expect((await fs.searchFiles('searched', '*.[tm][xd]*')).files.sort()).toEqual([
        `${folder}/deep/two.md`,
        `${folder}/one.txt`,
      ])
      expect((await fs.searchFiles('searched', '*.none')).files).toEqual([])
    })

    it('replaces text, and says which files it could not', async () => {
      await writeFileIn(own.sandbox, `${folder}/replaced`, 'a.b a.b axb\n')
      const results = await own.sandbox.fs.replaceInFiles(['searched/replaced', 'searched/missing'], 'a.b', '$& new')
      expect(results).toMatchObject([{ success: true }, { success: false, error: expect.any(String) }])
      expect(await shell(own.sandbox, `cat ${folder}/replaced`)).toBe('$& new $& new axb')
    })

    it('sets permissions', async () => {
      await writeFileIn(own.sandbox, `${folder}/guarded`, 'x')
      const { fs } = own.sandbox
      await fs.setFilePermissions('searched/guarded', { mode: '640', group: 'daytona' })
      expect(await fs.getFileDetails('searched/guarded')).toMatchObject({ permissions: '0640' })
      await expect(fs.setFilePermissions('searched/guarded', { mode: 'rw' })).rejects.toThrow()
      await expect(fs.setFilePermissions('searched/guarded', { owner: 'nobody-here' })).rejects.toThrow()
    })
  })
}
