import manifest from '../package.json' with { type: 'json' }

/** Of this program, as its information says it. */
export const { version } = manifest
