import { describeDriver } from '../driver-conformance.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

describeDriver('the oci driver', () => createOciHarness())
