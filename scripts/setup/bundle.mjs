import { build } from 'esbuild'

/**
 * Bundles programs that only run in this checkout: sources of the workspace go in, npm packages stay outside.
 * `entryPoints` are absolute; each becomes a file of the same name in `outdir`.
 */
export async function bundle({ entryPoints, outdir }) {
  await build({
    entryPoints,
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    plugins: [{ name: 'npm packages stay outside', setup: leaveNpmPackagesOutside }],
  })
}

function leaveNpmPackagesOutside({ onResolve }) {
  onResolve({ filter: /^[^./]/ }, ({ path }) => (path.startsWith('@atoll/') ? undefined : { path, external: true }))
}
