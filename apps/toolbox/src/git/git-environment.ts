import { dirname } from 'node:path'

/**
 * Variables of the sandbox that git does not inherit: those that say where a repository lies, since the caller says that;
 * those that would ask or show a person something; and traces, which can contain credentials.
 */
const NOT_INHERITED = new RegExp(
  `^(${[
    'GIT_(DIR|WORK_TREE|COMMON_DIR|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX)',
    'GIT_(ASKPASS|EDITOR|SEQUENCE_EDITOR|PAGER|EXTERNAL_DIFF|CURL_VERBOSE|(TRACE|AUTHOR|COMMITTER|TEST)\\w*)',
    'GIT_(GLOB|NOGLOB|LITERAL|ICASE)_PATHSPECS',
    'EDITOR|VISUAL|PAGER|PREFIX|SSH_ASKPASS|DISPLAY|LANG|LANGUAGE|LC_\\w+',
  ].join('|')})$`,
)

/** Transports that only carry data. Other transports, such as ext::, run a command that the URL names. */
const ALLOWED_PROTOCOLS = 'file:git:http:https:ssh'

/** Returns the environment of one git process that runs in `cwd`, a real path. */
export function gitEnvironment(
  inherited: Readonly<Record<string, string>>,
  cwd: string,
  own: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const kept = Object.entries(inherited).filter(([name]) => !NOT_INHERITED.test(name))
  return {
    ...Object.fromEntries(kept),
    // The toolbox parses git's errors in English.
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
 * simple-git's guards against options and variables that run programs, as far as they are off: the sandbox's user may
 * choose the variables, and the credential helper is ours.
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

/** All guards, off for a call that sets configuration on purpose. */
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

/** Settings of every git process: no work left behind in the background, no submodules, no colours in the output. */
export const ALWAYS = [
  'gc.auto=0',
  'maintenance.auto=false',
  'submodule.recurse=false',
  'fetch.recurseSubmodules=false',
  'push.recurseSubmodules=no',
  'color.ui=false',
].flatMap((setting) => ['-c', setting])
