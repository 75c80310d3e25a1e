import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024

/**
 * A program for `python3 -c`, with a folder as its argument: prints all attributes of the folder and of each file below it,
 * one line each. Texts are hexadecimal; content is the digest of each piece of data with its offset, so that a hole differs
 * from zeros. For a deletion, as overlayfs keeps it, prints only its name.
 */
export const WALK_TREE = `
import os, sys, stat, hashlib
def content(path, size):
    if size == 0: return ""
    pieces, at = [], 0
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while at < size:
            try: start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError: break
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            digest, place = hashlib.sha256(), start
            while place < end:
                block = os.pread(fd, min(1 << 20, end - place), place)
                digest.update(block); place += len(block)
            pieces.append(f"{start}-{end}:{digest.hexdigest()}")
            at = end
    finally: os.close(fd)
    return ",".join(pieces)
def walk(root, keep):
    first, lines = {}, []
    def look(path, name):
        s = os.lstat(path)
        kind = stat.S_IFMT(s.st_mode)
        if kind == stat.S_IFCHR and s.st_rdev == 0:
            lines.append(name.hex() + " deleted")
            return
        facts = [name.hex() or ".", oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns]
        if kind == stat.S_IFREG: facts += [s.st_size, content(path, s.st_size)]
        if kind == stat.S_IFLNK: facts.append(os.readlink(path).hex())
        if kind in (stat.S_IFCHR, stat.S_IFBLK): facts.append(s.st_rdev)
        if kind not in (stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO): facts += [s.st_nlink, first.setdefault(s.st_ino, name.hex())]
        for key in sorted(os.listxattr(path, follow_symlinks=False)):
            if not key.startswith(("trusted.overlay.origin", "trusted.overlay.impure")):
                facts.append(os.fsencode(key).hex() + "=" + os.getxattr(path, key, follow_symlinks=False).hex())
        lines.append(" ".join(map(str, facts)))
        if kind == stat.S_IFDIR:
            for child in sorted(os.listdir(path)):
                if name or not keep or child in keep: look(os.path.join(path, child), os.path.join(name, child) if name else child)
    look(root, b"")
    print("\\n".join(lines))
sys.setrecursionlimit(10000)
walk(os.fsencode(sys.argv[1]), set(map(os.fsencode, sys.argv[2:])))
`

/** Returns the output of `WALK_TREE` for a folder of this host. */
export async function walkTree(folder: string): Promise<string> {
  const { stdout } = await run('python3', ['-c', WALK_TREE, folder], { maxBuffer: MAX_OUTPUT_BYTES })
  return stdout
}
