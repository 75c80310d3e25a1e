import type { Repository } from './git.ts'

/** The branch that is checked out, also before its first commit; undefined when HEAD is detached. */
export async function currentBranch(repository: Repository): Promise<string | undefined> {
  const { exitCode, stdout } = await repository.attempt(['symbolic-ref', '--quiet', '--short', 'HEAD'])
  // What else is wrong, the next command says.
  return exitCode === 0 ? stdout.replace(/\n$/, '') : undefined
}
