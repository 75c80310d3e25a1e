import manifest from '../package.json' with { type: 'json' }

/** The version of this program, as /api/health shows it. */
export const { version } = manifest
