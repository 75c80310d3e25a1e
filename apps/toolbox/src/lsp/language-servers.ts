import { AppError } from '@atoll/protocol'
import { findProgram } from '../find-program.ts'

/** A language server program and its arguments. */
export interface ServerProgram {
  readonly name: string
  readonly args: readonly string[]
}

/** A kind of server: the programs that may serve a language, best first. */
export interface LanguageServerKind {
  /** Two languages of one kind share one server in a project. */
  readonly kind: string
  readonly programs: readonly ServerProgram[]
  /** The endings of the files that the server knows. */
  readonly endings: readonly string[]
  /** Options that the servers get at their start, beside the fields of LSP. */
  readonly initializationOptions: object
  /** A command that installs one of the programs. */
  readonly installHint: string
}

const TYPESCRIPT: LanguageServerKind = {
  kind: 'typescript',
  programs: [{ name: 'typescript-language-server', args: ['--stdio'] }],
  endings: ['.ts', '.tsx', '.mts', '.cts', '.js', '.jsx', '.mjs', '.cjs'],
  // The program's second, syntax-only server would return nothing while the project is still being read.
  initializationOptions: { tsserver: { useSyntaxServer: 'never' } },
  installHint: 'npm install --global typescript-language-server typescript@5',
}

const PYTHON: LanguageServerKind = {
  kind: 'python',
  programs: [
    { name: 'pyright-langserver', args: ['--stdio'] },
    { name: 'pylsp', args: [] },
  ],
  endings: ['.py', '.pyi'],
  initializationOptions: {},
  installHint: 'npm install --global pyright, or pip install python-lsp-server',
}

const KINDS = new Map([
  ['typescript', TYPESCRIPT],
  ['javascript', TYPESCRIPT],
  ['python', PYTHON],
])

/** Returns the kind of server. Throws VALIDATION_FAILED for a language without one. */
export function serverKind(languageId: string): LanguageServerKind {
  const kind = KINDS.get(languageId)
  if (kind === undefined) {
    throw new AppError('VALIDATION_FAILED', `languageId must be one of ${[...KINDS.keys()].join(', ')}`)
  }
  return kind
}

/** Returns LSP's own name for the language of a file, which tells TypeScript and its variants apart. */
export function documentLanguage(kind: LanguageServerKind, path: string): string {
  if (kind.kind === 'python') return 'python'
  if (path.endsWith('.tsx')) return 'typescriptreact'
  if (path.endsWith('.jsx')) return 'javascriptreact'
  return /\.[cm]?js$/.test(path) ? 'javascript' : 'typescript'
}

/** Returns the first of the programs on the PATH. Throws LSP_SERVER_NOT_INSTALLED, which says how to install one. */
export async function findServerProgram(
  kind: LanguageServerKind,
  path: string,
): Promise<{ file: string; args: readonly string[] }> {
  for (const { name, args } of kind.programs) {
    const file = await findProgram(name, path)
    if (file !== undefined) return { file, args }
  }
  const names = kind.programs.map(({ name }) => name).join(' nor ')
  throw new AppError(
    'LSP_SERVER_NOT_INSTALLED',
    `${names} is not on the PATH of the sandbox; install it there with: ${kind.installHint}`,
  )
}
