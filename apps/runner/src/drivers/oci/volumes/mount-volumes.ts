import { join } from 'node:path'
import type { VolumeMount } from '@atoll/protocol'
import { AppError, SANDBOX_DIAL_HOME_DIR, SANDBOX_RUNTIME_DIR } from '@atoll/protocol'
import type { OciMount } from '../oci-spec.ts'
import type { Configure } from '../sandbox-run.ts'
import type { Snapshot } from '../snapshot.ts'
import type { OciVolumes } from './oci-volumes.ts'
import { DATA_FOLDER } from './oci-volumes.ts'

/** Folders that a volume may neither cover nor lie in. */
const OWN_FOLDERS = [SANDBOX_RUNTIME_DIR, SANDBOX_DIAL_HOME_DIR, '/proc', '/sys', '/dev']
/** Longest name of one folder in file systems, in bytes. */
const MAX_NAME_BYTES = 255

/**
 * Mounts volumes one after another, in the sandbox's mount namespace. The image of a volume that is in several sandboxes is
 * on one loop device and has one file system, which the kernel shares between the mounts.
 *
 * The script enters a subpath folder by folder and checks its real working folder after each step: other sandboxes write to
 * the volume at the same time, and a link of theirs must lead nowhere. In the end it mounts its working folder.
 */
const SETUP = `
IFS='
'
set -f
set -- $SETUP_ARGUMENTS
place=$(pwd -P)/run/volumes
mkdir "$place"
number=0
while [ $# -gt 0 ]; do
  kind=$1 source=$2 subpath=$3
  shift 3
  mkdir "$place/$number" "$place/$number/whole" "$place/$number/part"
  if [ "$kind" = image ]; then
    tries=0
    until flock "$source" mount -t ext4 -o loop,nosuid,nodev,noinit_itable,discard "$source" "$place/$number/whole"; do
      # It may just be leaving the last sandbox it was in.
      tries=$((tries + 1))
      if [ $tries -ge 20 ]; then exit 1; fi
      sleep 0.1
    done
  else
    mount --bind "$source" "$place/$number/whole"
    mount -o remount,bind,nosuid,nodev "$place/$number/whole"
  fi
  cd -P "$place/$number/whole/${DATA_FOLDER}"
  expected=$place/$number/whole/${DATA_FOLDER}
  IFS=/
  for name in $subpath; do
    [ "$name" = . ] && continue
    mkdir -m 777 "./$name" 2>/dev/null || true
    cd -P "./$name"
    expected=$expected/$name
    if [ "$(pwd -P)" != "$expected" ]; then echo "a link is in the way of subpath $subpath" >&2; exit 1; fi
  done
  IFS='
'
  mount --no-canonicalize --bind . "$place/$number/part"
  cd "$place"
  number=$((number + 1))
done
`

/** Throws BAD_REQUEST for mounts that no sandbox of this snapshot may have, and VOLUME_NOT_FOUND. */
export function checkVolumeMounts(mounts: readonly VolumeMount[], snapshot: Snapshot, volumes: OciVolumes): void {
  const closed = [...OWN_FOLDERS, ...snapshot.mounts.map(({ destination }) => destination)]
  const taken = new Set<string>()
  for (const { volumeId, mountPath, subpath } of mounts) {
    volumes.place(volumeId)
    if (!isPlainPath(mountPath.slice(1))) throw refused(mountPath, 'is not a plain absolute path')
    const inTheWay = closed.find((path) => isIn(mountPath, path) || isIn(path, mountPath))
    if (inTheWay !== undefined) throw refused(mountPath, `is in the way of ${inTheWay}`)
    if (taken.has(mountPath)) throw refused(mountPath, 'is taken twice')
    taken.add(mountPath)
    if (subpath !== undefined && !isPlainPath(subpath)) throw refused(subpath, 'is not a plain relative path')
  }
}

/** Returns the change of a sandbox's configuration that mounts its volumes; undefined where it has none. */
export function configureVolumes(mounts: readonly VolumeMount[], volumes: OciVolumes): Configure | undefined {
  if (mounts.length === 0) return undefined
  // A mount path inside another is mounted after it.
  const sorted = [...mounts].sort((one, other) => one.mountPath.split('/').length - other.mountPath.split('/').length)
  return (config, folder) => {
    const places = sorted.map(({ volumeId }) => volumes.place(volumeId))
    const binds = sorted.map(({ mountPath }, number): OciMount => {
      const source = join(folder.bundle, 'volumes', String(number), 'part')
      return { destination: mountPath, type: 'bind', source, options: ['bind', 'rw', 'nosuid', 'nodev'] }
    })
    // Volumes are mounted first: wherever a link in the sandbox leads a volume, Atoll's own mounts cover it.
    const mounted = { ...config, mounts: [...binds, ...config.mounts] }
    const words = sorted.flatMap(({ subpath = '.' }, number) => {
      const { kind, path } = places[number] ?? { kind: 'folder', path: '' }
      return [kind, path, subpath]
    })
    return { config: mounted, setup: { script: SETUP, arguments: words } }
  }
}

function isPlainPath(path: string): boolean {
  return path.split('/').every((name) => {
    const isName = name !== '' && name !== '.' && name !== '..' && Buffer.byteLength(name) <= MAX_NAME_BYTES
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression looks for control characters
    return isName && !/[\u0000-\u001f\u007f]/.test(name)
  })
}

function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function refused(path: string, why: string): AppError {
  return new AppError('BAD_REQUEST', `${JSON.stringify(path)} ${why}`)
}
