import { describeDriver } from '../driver-conformance.ts'
import { describeEscape } from '../escape/escape-suite.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

describeDriver('the oci driver', () => createOciHarness())
describeEscape(() => createOciHarness())
