import { setFlagsFromString } from 'node:v8'

/**
 * Keeps V8's young generation at its first size (2 MiB of 32), because a toolbox does little and waits long, and there are
 * hundreds on a host. Call it once everything is loaded: V8 accepts code that was compiled for Node and for this program
 * only under the options it was compiled with. So Node is not started with `--max-semi-space-size`.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
