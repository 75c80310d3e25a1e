import { ownSandbox23 } from './testing/own-sandbox.ts'
import { describeSessions, describeTextLogs } from './testing/session-scenario.ts'

const own = ownSandbox23()

describeSessions('SDK 0.23', own)
describeTextLogs('SDK 0.23', own)
