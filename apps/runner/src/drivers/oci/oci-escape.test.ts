import { describeEscape } from '../escape/escape-suite.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

describeEscape(() => createOciHarness())
