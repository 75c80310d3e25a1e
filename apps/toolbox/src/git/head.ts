import type { Repository } from './git.ts'

/** Returns the branch that is checked out, also before its first commit; undefined when HEAD is detached. */
export async function currentBranch(repository: Repository): Promise<string | undefined> {
  const { exitCode, stdout } = await repository.attempt(['symbolic-ref', '--quiet', '--short', 'HEAD'])
  // Any other failure is reported by the next command.
  return exitCode === 0 ? stdout.replace(/\n$/, '') : undefined
}
