import manifest from '../package.json' with { type: 'json' }

/** The version of this program, as GET /version returns it. */
export const { version } = manifest
