import type { Sandbox as Sandbox23 } from '@daytonaio/sdk'
import type { Sandbox as Sandbox17 } from 'daytona-sdk-0-17'
import type { Sandbox as Sandbox218 } from 'daytona-sdk-0-218'
import { afterAll, beforeAll } from 'vitest'
import { sdk17, sdk23, sdk218 } from './shared-system.ts'

/** A started sandbox on the shared system that exists from a file's first test to its last. */
export interface OwnSandbox<Sandbox> {
  readonly sandbox: Sandbox
}

/** Provides the file's sandbox through SDK 0.17.0. Call it once, at the top of a file. */
export function ownSandbox17(): OwnSandbox<Sandbox17> {
  return ownSandbox(() => sdk17().create())
}

/** Provides the file's sandbox through SDK 0.23.1. Call it once, at the top of a file. */
export function ownSandbox23(): OwnSandbox<Sandbox23> {
  return ownSandbox(() => sdk23().create())
}

/** Provides the file's sandbox through SDK 0.218.0. Call it once, at the top of a file. */
export function ownSandbox218(): OwnSandbox<Sandbox218> {
  return ownSandbox(() => sdk218().create())
}

function ownSandbox<Sandbox extends { delete(): Promise<unknown> }>(
  create: () => Promise<Sandbox>,
): OwnSandbox<Sandbox> {
  let sandbox: Sandbox | undefined
  beforeAll(async () => {
    sandbox = await create()
  })
  afterAll(() => sandbox?.delete())
  return {
    get sandbox() {
      if (sandbox === undefined) throw new Error('no test runs yet')
      return sandbox
    },
  }
}
