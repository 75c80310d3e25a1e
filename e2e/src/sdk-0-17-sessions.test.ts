import { ownSandbox17 } from './testing/own-sandbox.ts'
import { describeSessions, describeTextLogs } from './testing/session-scenario.ts'

const own = ownSandbox17()

describeSessions('SDK 0.17', own)
describeTextLogs('SDK 0.17', own)
