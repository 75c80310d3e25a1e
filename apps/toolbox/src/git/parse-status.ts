import type { FileState, FileStatus, GitStatus } from '@atoll/protocol'

/** States by the letters of git's short format. */
const states: Readonly<Record<string, FileState>> = {
  '.': 'Unmodified',
  M: 'Modified',
  // The type has changed: a file became a link.
  T: 'Modified',
  A: 'Added',
  D: 'Deleted',
  R: 'Renamed',
  C: 'Copied',
}

/** The number of fields before the path, by the kind of entry. */
const FIELDS_BEFORE_PATH: Readonly<Record<string, number>> = { '1': 8, '2': 9, u: 10 }

/** Reads `git status --porcelain=v2 --branch -z`: entries that end with NUL, and names as they are. */
export function parseStatus(output: string): GitStatus {
  const status: GitStatus = {
    currentBranch: '',
    detached: false,
    upstream: '',
    ahead: 0,
    behind: 0,
    branchPublished: false,
    fileStatus: [],
  }
  const entries = output.split('\0')
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index] ?? ''
    if (entry.startsWith('# ')) readHeader(entry.slice(2), status)
    else if (entry.startsWith('? ')) status.fileStatus.push(fileStatus(entry.slice(2), 'Untracked', 'Untracked'))
    else if (entry !== '') {
      const file = readEntry(entry)
      if (file === undefined) continue
      // The old name follows as an entry of its own.
      if (entry.startsWith('2 ')) {
        index += 1
        file.extra = entries[index] ?? ''
      }
      status.fileStatus.push(file)
    }
  }
  return status
}

function readHeader(header: string, status: GitStatus): void {
  const space = header.indexOf(' ')
  const value = header.slice(space + 1)
  switch (header.slice(0, space)) {
    case 'branch.head':
      status.detached = value === '(detached)'
      status.currentBranch = status.detached ? 'HEAD' : value
      return
    case 'branch.upstream':
      status.upstream = value
      return
    case 'branch.ab': {
      // git writes this header only for an upstream that exists.
      const [ahead, behind] = value.split(' ').map((count) => Math.abs(Number(count)))
      status.branchPublished = true
      status.ahead = ahead ?? 0
      status.behind = behind ?? 0
    }
  }
}

function readEntry(entry: string): FileStatus | undefined {
  const fields = FIELDS_BEFORE_PATH[entry[0] ?? '']
  if (fields === undefined) return undefined
  let start = 0
  for (let field = 0; field < fields; field += 1) start = entry.indexOf(' ', start) + 1
  const name = entry.slice(start)
  if (entry.startsWith('u ')) return fileStatus(name, 'Updated but unmerged', 'Updated but unmerged')
  return fileStatus(name, states[entry[2] ?? ''] ?? 'Modified', states[entry[3] ?? ''] ?? 'Modified')
}

function fileStatus(name: string, staging: FileState, worktree: FileState): FileStatus {
  return { name, extra: '', staging, worktree }
}
