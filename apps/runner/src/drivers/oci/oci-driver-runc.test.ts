import { existsSync } from 'node:fs'
import { describeDriver } from '../driver-conformance.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

const runc = ['/usr/bin/runc', '/usr/sbin/runc', '/usr/local/bin/runc'].find(existsSync)

// The driver works with one runtime or the other; a host needs only one of them.
if (runc === undefined) process.stdout.write('not tested with runc: it is not installed\n')
describeDriver(`the oci driver with ${runc === undefined ? 'the runtime it picks' : 'runc'}`, () =>
  createOciHarness(runc === undefined ? {} : { runtime: runc }),
)
