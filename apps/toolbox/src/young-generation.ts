import { setFlagsFromString } from 'node:v8'

/**
 * Keeps V8's young generation as small as it begins (2 MiB of 32): a toolbox does little and waits long, and there are
 * hundreds on a host. To be called once everything is loaded: what V8 compiled for Node and for this program it takes
 * only under the options that it was compiled with, which is why Node is not started with `--max-semi-space-size`.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
