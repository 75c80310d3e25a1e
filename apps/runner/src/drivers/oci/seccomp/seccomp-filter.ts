import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A seccomp profile as the kernel takes it: a program, in base64. */
export type SeccompFilter = string

/** File in crun's state of a container with the program that crun has given the kernel. */
const FILTER_FILE = 'seccomp.bpf'
/** Annotation by which crun takes a compiled program instead of compiling a profile in 4 ms. Other runtimes ignore it. */
const FILTER_ANNOTATION = 'run.oci.seccomp_bpf_data'

/** Returns the filter of a running container; undefined where its runtime keeps none. */
export async function readSeccompFilter(containerState: string): Promise<SeccompFilter | undefined> {
  const program = await readFile(join(containerState, FILTER_FILE)).catch(() => undefined)
  return program === undefined || program.length === 0 ? undefined : program.toString('base64')
}

/**
 * Returns the annotations of a container that is to have this filter. Its configuration has the profile too, for a runtime
 * that does not know the annotation.
 */
export function filterAnnotations(filter: SeccompFilter | undefined): Record<string, string> {
  return filter === undefined ? {} : { [FILTER_ANNOTATION]: filter }
}
