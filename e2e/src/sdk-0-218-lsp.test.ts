import { describeLsp } from './testing/lsp-scenario.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'

describeLsp('SDK 0.218', ownSandbox218(), ['typescript', 'python'])
