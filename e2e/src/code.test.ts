import { describeCodeRun } from './testing/code-scenario.ts'
import { sdk23 } from './testing/shared-system.ts'

describeCodeRun('SDK 0.23', (language) => sdk23().create({ language }))
