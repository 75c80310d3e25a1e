import { describe, expect, it } from 'vitest'
import { eventually } from './eventually.ts'
import type { AnySandbox } from './in-sandbox.ts'
import { writeFileIn } from './in-sandbox.ts'
import type { OwnSandbox } from './own-sandbox.ts'
import { call } from './shared-system.ts'

/** The longest cold start of a language server, on a busy machine. */
const SERVER_MS = 180_000

interface Symbol {
  name: string
  location: { uri: string; range: object }
}

interface LspServer {
  start(): Promise<void>
  stop(): Promise<void>
  didOpen(path: string): Promise<void>
  didClose(path: string): Promise<void>
  documentSymbols(path: string): Promise<Symbol[]>
  workspaceSymbols(query: string): Promise<Symbol[]>
  sandboxSymbols(query: string): Promise<Symbol[]>
  completions(path: string, position: { line: number; character: number }): Promise<{ items: { label: string }[] }>
}

/** A sandbox of any SDK generation, with language servers. */
export interface LspSandbox extends AnySandbox {
  createLspServer(languageId: string, pathToProject: string): Promise<LspServer>
}

const PROJECTS = {
  typescript: {
    files: {
      'tsconfig.json': '{"compilerOptions":{"strict":true},"include":["**/*.ts"]}',
      'shape.ts': 'export class Shape {\n  corners = 4\n  turnAround() {}\n}\n',
      'main.ts': "import { Shape } from './shape'\nconst box = new Shape()\nbox.\n",
    },
    main: 'main.ts',
    position: { line: 2, character: 4 },
    completion: 'turnAround',
    symbol: 'box',
  },
  python: {
    files: {
      'shape.py': 'class Shape:\n    def turn_around(self):\n        pass\n',
      'main.py': 'from shape import Shape\nbox = Shape()\nbox.\n',
    },
    main: 'main.py',
    position: { line: 2, character: 4 },
    completion: 'turn_around',
    symbol: 'box',
  },
} as const

/** Tests a project of two files: a completion in one, and the symbols of that file and of the project. */
export function describeLsp(title: string, own: OwnSandbox<LspSandbox>, languages: (keyof typeof PROJECTS)[]): void {
  describe(`language servers through ${title}`, () => {
    it.each(languages)('complete %s, and list symbols', { timeout: SERVER_MS }, async (language) => {
      const { files, main, position, completion, symbol } = PROJECTS[language]
      const project = `/home/daytona/${language}-project`
      for (const [name, text] of Object.entries(files)) await writeFileIn(own.sandbox, `${project}/${name}`, text)
      const server = await own.sandbox.createLspServer(language, project)
      await expect(server.documentSymbols(`${project}/${main}`)).rejects.toThrow()
      await server.start()
      await server.didOpen(`${project}/${main}`)
      const { items } = await server.completions(`${project}/${main}`, position)
      expect(items.map(({ label }) => label)).toContain(completion)
      expect(await server.documentSymbols(`${project}/${main}`)).toContainEqual(
        expect.objectContaining({
          name: symbol,
          location: expect.objectContaining({ uri: `file://${project}/${main}` }),
        }),
      )
      const found = async (symbols: Promise<Symbol[]>) => (await symbols).some(({ name }) => name === 'Shape')
      await eventually('the project is read', async () => found(server.sandboxSymbols('Shape')))
      expect(await found(server.workspaceSymbols('Shape'))).toBe(true)
      await server.didClose(`${project}/${main}`)
      await server.stop()
      await expect(server.workspaceSymbols('Shape')).rejects.toThrow()
    })

    it('are not there for other languages', async () => {
      // The SDKs do not send a language that they know to be refused, so this is a plain call.
      const answer = await call(`/toolbox/${own.sandbox.id}/toolbox/lsp/start`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ languageId: 'cobol', pathToProject: '/home/daytona' }),
      })
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({ statusCode: 400, message: expect.stringContaining('languageId') })
    })
  })
}
