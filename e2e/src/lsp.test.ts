import { describeLsp } from './testing/lsp-scenario.ts'
import { ownSandbox23 } from './testing/own-sandbox.ts'

describeLsp('SDK 0.23', ownSandbox23(), ['typescript'])
