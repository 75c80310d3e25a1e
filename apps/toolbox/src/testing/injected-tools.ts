import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The programs that are injected into every sandbox, as the build lays them out. */
export const TOOLS_BIN = join(import.meta.dirname, '../../../sandbox-tools/dist/bin')

if (!existsSync(TOOLS_BIN)) throw new Error('not built: apps/sandbox-tools; run: npx turbo run build')
