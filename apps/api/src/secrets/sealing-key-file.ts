import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Logger } from '@atoll/service'
import type { Config, Secrets } from '../config.ts'
import { createSecretFile, readSecretFile } from '../users/secret-file.ts'
import type { SealingKey } from './sealing-key.ts'
import { parseSealingKeys, SEALING_KEY_BYTES } from './sealing-key.ts'

const SEALING_KEY_FILE = 'encryption-key'

/** Path of the key that is made when none is configured. */
export function sealingKeyFile(dataDir: string): string {
  return join(dataDir, SEALING_KEY_FILE)
}

export interface SealingKeyOptions {
  config: Pick<Config, 'dataDir'>
  secrets: Pick<Secrets, 'databaseUrl' | 'encryptionKey'>
  log: Logger
}

/**
 * Returns the configured keys; without any, the key in the data folder, which is made when it is missing. Processes
 * that start at the same time on one folder get the same key. Throws for a file that holds no key.
 */
export async function loadSealingKeys(options: SealingKeyOptions): Promise<readonly SealingKey[]> {
  const { config, secrets, log } = options
  if (secrets.encryptionKey !== undefined) return parseSealingKeys(secrets.encryptionKey)
  const file = sealingKeyFile(config.dataDir)
  if (await createIfAbsent(file)) {
    log.info({ file }, 'made the key that stored secrets are sealed with; a backup of the database needs it')
  }
  if (secrets.databaseUrl !== undefined) {
    log.warn(
      { file },
      'the encryption key lies in the data folder: other API processes need it as ATOLL_ENCRYPTION_KEY',
    )
  }
  const text = await readSecretFile(file)
  try {
    return parseSealingKeys(text?.trim() ?? '')
  } catch (cause) {
    throw new Error(`${file} holds no encryption key; what it sealed can only be opened with the key it held`, {
      cause,
    })
  }
}

async function createIfAbsent(file: string): Promise<boolean> {
  if ((await readSecretFile(file)) !== undefined) return false
  return await createSecretFile(file, `${randomBytes(SEALING_KEY_BYTES).toString('base64')}\n`)
}
