import { isAbsolute, resolve } from 'node:path'
import { SANDBOX_VARIABLE_PREFIX } from '@atoll/protocol'

/** The configuration that the toolbox takes from its environment. */
export interface Config {
  /** `ws:`, `wss:` or `ws+unix:` URL of the control plane's dial-in path. */
  readonly controlUrl: string
  readonly sandboxId: string
  /** An absolute path. */
  readonly homeDir: string
  /** An absolute path: DAYTONA_PROJECT_DIR, or the home. */
  readonly projectDir: string
  /** The absolute path where relative paths start and commands run, if the user may enter it. */
  readonly workDir: string
  /** The variables that commands inherit: this process's environment without the toolbox's variables, and the sandbox's own. */
  readonly commandEnv: Readonly<Record<string, string>>
  /** The program and arguments to run from the start; `ATOLL_ENTRYPOINT`, a JSON array. */
  readonly entrypoint: readonly string[] | undefined
  /** Whether the toolbox does nothing until the sandbox is claimed; `ATOLL_AWAITS_CLAIM`. */
  readonly awaitsClaim: boolean
}

/** Kept apart from `Config` so that logging a config cannot leak it. */
export interface Secrets {
  readonly toolboxToken: string
}

/** Thrown for a bad environment; the message has one line for each problem and no value of a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const CONTROL_URL_PROTOCOLS = ['ws:', 'wss:', 'ws+unix:']
const TOOLBOX_VARIABLE = /^ATOLL_/

/** Reads the environment once. Throws ConfigError with every problem at once. */
export function loadConfig(env: Record<string, string | undefined>): { config: Config; secrets: Secrets } {
  const problems: string[] = []
  const required = (name: string) => {
    const value = env[name]
    if (value === undefined || value === '') problems.push(`${name} is missing`)
    return value ?? ''
  }
  const controlUrl = required('ATOLL_CONTROL_URL')
  if (controlUrl !== '' && !isControlUrl(controlUrl)) {
    problems.push(`ATOLL_CONTROL_URL must be a URL that starts with ${CONTROL_URL_PROTOCOLS.join(', ')}`)
  }
  const toolboxToken = required('ATOLL_TOOLBOX_TOKEN')
  const sandboxId = required('ATOLL_SANDBOX_ID')
  const commandEnv = commandEnvironment(env)
  const homeDir = env['HOME'] || '/'
  const projectDir = resolve(homeDir, commandEnv['DAYTONA_PROJECT_DIR'] ?? '')
  // The image's work directory counts where the sandbox has none.
  const workDir = resolve(
    projectDir,
    commandEnv['DAYTONA_PROJECT_DIR'] === undefined ? (env['ATOLL_WORK_DIR'] ?? '') : '',
  )
  if (!isAbsolute(homeDir)) problems.push('HOME must be an absolute path')
  const entrypoint = readEntrypoint(env['ATOLL_ENTRYPOINT'], problems)
  if (problems.length > 0) throw new ConfigError(`bad environment: ${problems.join('; ')}`)
  const awaitsClaim = env['ATOLL_AWAITS_CLAIM'] === '1'
  const config = { controlUrl, sandboxId, homeDir, projectDir, workDir, commandEnv, entrypoint, awaitsClaim }
  return { config: Object.freeze(config), secrets: Object.freeze({ toolboxToken }) }
}

function isControlUrl(value: string): boolean {
  return URL.canParse(value) && CONTROL_URL_PROTOCOLS.includes(new URL(value).protocol)
}

function readEntrypoint(text: string | undefined, problems: string[]): readonly string[] | undefined {
  if (text === undefined || text === '') return undefined
  try {
    const words: unknown = JSON.parse(text)
    const isWord = (word: unknown) => typeof word === 'string' && !word.includes('\0')
    if (Array.isArray(words) && words.length > 0 && words.every(isWord)) return words
  } catch {
    // The problem is added below.
  }
  problems.push('ATOLL_ENTRYPOINT must be a JSON array of words')
  return undefined
}

function commandEnvironment(env: Record<string, string | undefined>): Readonly<Record<string, string>> {
  const inherited: Record<string, string> = {}
  const own: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue
    if (name.startsWith(SANDBOX_VARIABLE_PREFIX)) own[name.slice(SANDBOX_VARIABLE_PREFIX.length)] = value
    else if (!TOOLBOX_VARIABLE.test(name)) inherited[name] = value
  }
  return Object.freeze({ ...inherited, ...own })
}
