import manifest from '../package.json' with { type: 'json' }

/** The runner's version, which `GET /info` returns. */
export const { version } = manifest
