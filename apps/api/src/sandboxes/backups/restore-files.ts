import type { SandboxStatus } from '@atoll/protocol'
import { backupKey } from './backup-objects.ts'
import type { KeptBackup } from './backup-store.ts'
import type { Backup, Transfer } from './backup-transfer.ts'
import { createCheck, spanOf, through } from './backup-transfer.ts'
import type { BackupPart } from './upload-store.ts'

/** A whole backup, and its parts in order; a backup that was written in one piece has none. */
export interface RestoredBackup extends Backup, KeptBackup {
  parts: readonly BackupPart[]
}

/**
 * Copies a backup, part by part, to a runner where the sandbox is made and stopped; goes on where an earlier try was
 * interrupted. Throws BackupDamagedError for a damaged backup, which changes nothing there.
 */
export async function restoreFiles(transfer: Transfer, backup: RestoredBackup): Promise<SandboxStatus> {
  const { runner, signal } = transfer
  const archive = { sandboxId: backup.sandboxId, archiveId: backup.id }
  const { bytes: arrived, unpacked } = await runner.archives.arrived(archive, signal)
  if (!unpacked && arrived !== backup.bytes) await sendParts(transfer, backup, arrived)
  return await runner.archives.unpack(archive, { bytes: backup.bytes, sha256: backup.sha256 }, signal)
}

async function sendParts(transfer: Transfer, backup: RestoredBackup, arrived: number): Promise<void> {
  const { objects, runner, signal, onProgress } = transfer
  const { bytes, parts } = backup
  const partBytes = backup.partBytes ?? objects.partBytes
  if (backup.partBytes === null) await checkWhole(transfer, backup)
  const total = Math.max(1, Math.ceil(bytes / partBytes))
  const first = arrived > bytes ? 0 : Math.floor(arrived / partBytes)
  for (let number = first + 1; number <= total; number++) {
    const { start, end } = spanOf(number, { bytes, partBytes })
    const found = await objects.get(backupKey(backup), signal, { start, end })
    const sum = { bytes: end - start + 1, sha256: parts[number - 1]?.sha256 }
    const source = through(found, createCheck(sum))
    try {
      const archive = { sandboxId: backup.sandboxId, archiveId: backup.id }
      await runner.archives.send(archive, { from: start, source }, signal)
      onProgress(number < total)
    } finally {
      source.destroy()
    }
  }
}

/** Checks a backup without parts, of which only the checksum of the whole is known. */
async function checkWhole({ objects, signal }: Transfer, backup: RestoredBackup): Promise<void> {
  const whole = through(await objects.get(backupKey(backup), signal), createCheck(backup))
  try {
    for await (const _ of whole) signal.throwIfAborted()
  } finally {
    whole.destroy()
  }
}
