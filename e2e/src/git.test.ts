import { describeBranches, describeGit } from './testing/git-scenario.ts'
import { ownSandbox23 } from './testing/own-sandbox.ts'

const own = ownSandbox23()

describeGit('SDK 0.23', own)
describeBranches('SDK 0.23', own)
