import { dirname } from 'node:path'

/**
 * Variables of the sandbox that git is not given: what says where a repository lies, since the caller says that; what
 * would ask or show somebody something; and traces, which can hold credentials.
 */
const NOT_INHERITED = new RegExp(
  `^(${[
    'GIT_(DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX)',
    'GIT_(ASKPASS|EDITOR|SEQUENCE_EDITOR|PAGER|EXTERNAL_DIFF|CURL_VERBOSE|(TRACE|AUTHOR|COMMITTER|TEST)\\w*)',
    'GIT_(GLOB|NOGLOB|LITERAL|ICASE)_PATHSPECS',
    'EDITOR|VISUAL|PAGER|PREFIX|SSH_ASKPASS|DISPLAY|LANG|LANGUAGE|LC_\\w+',
  ].join('|')})$`,
)

/** Transports that only carry data. Others, such as ext::, run a command that the URL names. */
const ALLOWED_PROTOCOLS = 'file:git:http:https:ssh'

/** The environment of one git process that runs in `cwd`, a real path. */
export function gitEnvironment(
  inherited: Readonly<Record<string, string>>,
  cwd: string,
  own: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const kept = Object.entries(inherited).filter(([name]) => !NOT_INHERITED.test(name))
  return {
    ...Object.fromEntries(kept),
    // Errors are read, in English.
    LC_ALL: 'C',
    // A folder inside a repository is not that repository.
    GIT_CEILING_DIRECTORIES: dirname(cwd),
    GIT_ALLOW_PROTOCOL: ALLOWED_PROTOCOLS,
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    SSH_ASKPASS_REQUIRE: 'never',
    GIT_EDITOR: ':',
    GIT_LITERAL_PATHSPECS: '1',
    ...own,
  }
}

/**
 * simple-git's guards against options and variables that run programs. The sandbox's own variables are its user's to
 * choose, and pass; so does the credential helper, which is ours.
 */
export const PERMITTED = {
  allowUnsafeCustomBinary: true,
  allowAbbreviatedOptions: true,
  allowUnsafeAskPass: true,
  allowUnsafeEditor: true,
  allowUnsafeConfigEnvCount: true,
  allowUnsafeConfigPaths: true,
  allowUnsafeCredentialHelper: true,
  allowUnsafeExec: true,
  allowUnsafeGitProxy: true,
  allowUnsafeSshCommand: true,
  allowUnsafeTemplateDir: true,
} as const

/** For configuration set on purpose: the rest of them. */
export const PERMITTED_CONFIG = {
  ...PERMITTED,
  allowUnsafeAlias: true,
  allowUnsafeCommandBinaries: true,
  allowUnsafeDiffExternal: true,
  allowUnsafeDiffTextConv: true,
  allowUnsafeFilter: true,
  allowUnsafeFsMonitor: true,
  allowUnsafeGpgProgram: true,
  allowUnsafeHooksPath: true,
  allowUnsafeInclude: true,
  allowUnsafeMergeDriver: true,
  allowUnsafePack: true,
  allowUnsafePager: true,
  allowUnsafeProtocolOverride: true,
  allowUnsafeSubmodule: true,
  allowUnsafeUrlRewrite: true,
} as const

/** Each for one process: no work left behind in the background, no submodules, no colours in what is read. */
export const ALWAYS = [
  'gc.auto=0',
  'maintenance.auto=false',
  'submodule.recurse=false',
  'fetch.recurseSubmodules=false',
  'push.recurseSubmodules=no',
  'color.ui=false',
].flatMap((setting) => ['-c', setting])
