import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A seccomp profile as the kernel takes it: a program, in base64. */
export type SeccompFilter = string

/** Where crun writes, in its state of a container, what it has given the kernel. */
const FILTER_FILE = 'seccomp.bpf'
/** By which crun takes such a program instead of compiling a profile, which takes it 4 ms. Others do not know it. */
const FILTER_ANNOTATION = 'run.oci.seccomp_bpf_data'

/** The filter of a container that runs; undefined where its runtime keeps none. */
export async function readSeccompFilter(containerState: string): Promise<SeccompFilter | undefined> {
  const program = await readFile(join(containerState, FILTER_FILE)).catch(() => undefined)
  return program === undefined || program.length === 0 ? undefined : program.toString('base64')
}

/**
 * The annotations of a container that is to have this filter. Its configuration has the profile all the same: a runtime that does not
 * know the annotation goes by that.
 */
export function filterAnnotations(filter: SeccompFilter | undefined): Record<string, string> {
  return filter === undefined ? {} : { [FILTER_ANNOTATION]: filter }
}
