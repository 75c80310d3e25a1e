import { describeCodeRun } from './testing/code-scenario.ts'
import { sdk17 } from './testing/shared-system.ts'

describeCodeRun('SDK 0.17', (language) => sdk17().create({ language }))
