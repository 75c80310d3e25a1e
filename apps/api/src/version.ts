import manifest from '../package.json' with { type: 'json' }

/** Of this program, as /api/health says it. */
export const { version } = manifest
