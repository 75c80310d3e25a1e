import { describeLsp } from './testing/lsp-scenario.ts'
import { ownSandbox17 } from './testing/own-sandbox.ts'

describeLsp('SDK 0.17', ownSandbox17(), ['typescript'])
