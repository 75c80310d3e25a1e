import manifest from '../package.json' with { type: 'json' }

/** Of this program, as GET /version says it. */
export const { version } = manifest
