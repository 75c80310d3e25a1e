import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import type { Metrics } from '../http/metrics.ts'
import type { AuditAction } from './audit-actions.ts'
import type { AuditedOptions } from './audit-hook.ts'
import type { AuditLog } from './audit-log.ts'
import { createAuditLog } from './audit-log.ts'
import type { AuditReader } from './audit-reader.ts'
import { createAuditReader } from './audit-reader.ts'
import { createAuditStore } from './audit-store.ts'

export interface AuditParts extends AuditedOptions {
  readonly audit: AuditLog
  readonly auditReader: AuditReader
}

/** Makes the parts that write and read the audit log. The caller closes `audit`. */
export function createAuditParts(options: {
  database: Database
  log: Logger
  metrics: Metrics
  /** Milliseconds since the epoch. */
  now: () => number
}): AuditParts {
  const { database, log, metrics, now } = options
  const store = createAuditStore(database)
  const actions: AuditAction[] = []
  return {
    now,
    audit: createAuditLog({ store, log, metrics }),
    auditReader: createAuditReader({ store, actions: () => actions }),
    onAction: (action) => actions.push(action),
  }
}
