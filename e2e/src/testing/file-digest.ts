/** The command by which root makes files of every kind, of several owners, in its home folder. Fails where one cannot be made. */
export const MAKE_FILES = `set -e
python3 - <<'END'
import os, struct
os.makedirs('tree/deep/er', exist_ok=True)
os.makedirs('tree/empty', exist_ok=True)
os.makedirs('tree/n\u00e4me mit L\u00fccken')
open('tree/text', 'w').write('hello\\n')
open('tree/tool', 'w').write('#!/bin/sh\\n')
open('tree/deep/er/bytes', 'wb').write(bytes(range(256)) * 4000)
with open('tree/sparse', 'wb') as file:
    file.seek(50_000_000)
    file.write(b'end')
os.link('tree/text', 'tree/hard link')
os.symlink('../nowhere', 'tree/dangling')
os.symlink('text', 'tree/soft')
for path, user, group in [('text', 1000, 1000), ('tool', 0, 1000), ('deep/er/bytes', 12345, 54321), ('deep', 2000, 3000), ('soft', 65534, 7)]:
    os.lchown('tree/' + path, user, group)
os.chmod('tree/text', 0o4751)
os.chmod('tree/deep', 0o1777)
os.chmod('tree/empty', 0o2700)
os.setxattr('tree/text', 'user.note', b'kept')
os.setxattr('tree/deep', 'user.note', b'of a folder')
os.setxattr('tree/tool', 'security.capability', struct.pack('<5I', 0x02000001, 1 << 10, 0, 0, 0))
for path in ['text', 'deep/er/bytes', 'soft', 'deep/er', 'deep', 'empty', '.']:
    os.utime('tree/' + path, ns=(10**18, 11 * 10**17 + 123_456_789), follow_symlinks=False)
os.remove('.profile')
END`

/** The command that prints everything about these files: kinds, modes, owners, times, links, blocks, contents, attributes. */
export const DIGEST_FILES = `python3 - <<'END'
import hashlib, os
for folder, folders, files in sorted(os.walk('.')):
    for name in sorted(folders + files):
        path = os.path.join(folder, name)
        if not path.startswith('./tree') and path != './.profile':
            continue
        facts = os.lstat(path)
        row = [path, oct(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_nlink, facts.st_mtime_ns]
        row.append({key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)})
        if os.path.islink(path):
            row.append(os.readlink(path))
        elif os.path.isfile(path):
            row += [facts.st_size, facts.st_blocks < 1000]
            row.append(hashlib.sha256(open(path, 'rb').read()).hexdigest())
        print(row)
END`
