import { describeGit } from './testing/git-scenario.ts'
import { ownSandbox17 } from './testing/own-sandbox.ts'

describeGit('SDK 0.17', ownSandbox17())
