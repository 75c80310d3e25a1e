import type { watchChannels, watchOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import type { WatchChannels } from './watch-channel.ts'

/** Reports changes of files. */
export function createWatchFeature(parts: FeatureParts): Feature<typeof watchOperations, typeof watchChannels> {
  let loading: Promise<WatchChannels> | undefined
  return {
    handlers: {},
    channels: {
      async watchFiles(call) {
        loading ??= import('./watch-channel.ts').then(({ createWatchChannels }) => createWatchChannels(parts))
        return (await loading).open(call)
      },
    },
    async [Symbol.asyncDispose]() {
      const watches = await loading
      watches?.[Symbol.dispose]()
    },
  }
}
