import { ownSandbox17 } from './testing/own-sandbox.ts'
import { describeSearch } from './testing/search-scenario.ts'

describeSearch('SDK 0.17', ownSandbox17())
