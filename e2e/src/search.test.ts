import { ownSandbox23 } from './testing/own-sandbox.ts'
import { describeSearch } from './testing/search-scenario.ts'

describeSearch('SDK 0.23', ownSandbox23())
