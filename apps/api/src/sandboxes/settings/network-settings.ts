import { isIPv4 } from 'node:net'
import type { UpdateNetworkSettings } from '@atoll/protocol'
import { AppError, MAX_ALLOWED_BLOCKS } from '@atoll/protocol'
import type { SandboxRow } from '../sandbox-table.ts'

type NetworkColumns = Pick<SandboxRow, 'networkBlockAll' | 'networkAllowList'>

const MAX_PREFIX = 32

/** Returns the network settings of a new sandbox. Throws VALIDATION_FAILED. */
export function planNetwork(body: UpdateNetworkSettings): NetworkColumns {
  return planNetworkChange({ networkBlockAll: false, networkAllowList: null }, body)
}

/** Returns the settings after a change: allowing all traffic drops an allow list. Throws VALIDATION_FAILED. */
export function planNetworkChange(had: NetworkColumns, settings: UpdateNetworkSettings): NetworkColumns {
  const { networkBlockAll, networkAllowList, domainAllowList } = settings
  if (domainAllowList !== undefined && domainAllowList.trim() !== '') {
    throw invalid('domainAllowList is not supported: give addresses in networkAllowList')
  }
  const dropped = networkBlockAll === false ? null : had.networkAllowList
  return {
    networkBlockAll: networkBlockAll ?? had.networkBlockAll,
    networkAllowList: networkAllowList === undefined ? dropped : toBlocks(networkAllowList),
  }
}

/** Returns an allow list as it is stored: without blanks; null for none. */
function toBlocks(text: string): string | null {
  if (text.trim() === '') return null
  const blocks = text.split(',').map((block) => block.trim())
  if (blocks.length > MAX_ALLOWED_BLOCKS) {
    throw invalid(`networkAllowList has ${blocks.length} blocks; at most ${MAX_ALLOWED_BLOCKS} are allowed`)
  }
  const wrong = blocks.find((block) => !isBlock(block))
  if (wrong !== undefined) throw invalid(`networkAllowList: ${JSON.stringify(wrong)} is no block of IPv4 addresses`)
  return blocks.join(',')
}

function isBlock(text: string): boolean {
  const [address = '', prefix = String(MAX_PREFIX), ...rest] = text.split('/')
  return rest.length === 0 && isIPv4(address) && /^\d{1,2}$/.test(prefix) && Number(prefix) <= MAX_PREFIX
}

function invalid(message: string): AppError {
  return new AppError('VALIDATION_FAILED', message)
}
