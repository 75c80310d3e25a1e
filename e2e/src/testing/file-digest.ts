/** The command that makes files of every kind in the home folder. */
export const MAKE_FILES = `python3 - <<'END'
import os
os.makedirs('tree/deep/er', exist_ok=True)
os.makedirs('tree/empty', exist_ok=True)
open('tree/text', 'w').write('hello\\n')
open('tree/deep/er/bytes', 'wb').write(bytes(range(256)) * 4000)
with open('tree/sparse', 'wb') as file:
    file.seek(50_000_000)
    file.write(b'end')
os.link('tree/text', 'tree/hard link')
os.symlink('../nowhere', 'tree/dangling')
os.symlink('text', 'tree/soft')
os.chmod('tree/text', 0o4751)
os.chmod('tree/deep', 0o1777)
try:
    os.setxattr('tree/text', 'user.note', b'kept')
except OSError:
    pass
for path in ['tree/text', 'tree/deep/er/bytes']:
    os.utime(path, (1_000_000_000, 1_100_000_000.25))
END
rm -f .profile; mkdir -p "tree/n\u00e4me mit L\u00fccken"`

/** The command that prints everything about these files: kinds, modes, owners, times, links, blocks, contents, attributes. */
export const DIGEST_FILES = `python3 - <<'END'
import hashlib, os
for folder, folders, files in sorted(os.walk('.')):
    for name in sorted(folders + files):
        path = os.path.join(folder, name)
        if not path.startswith('./tree') and path != './.profile':
            continue
        facts = os.lstat(path)
        row = [path, oct(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_nlink]
        if os.path.islink(path):
            row.append(os.readlink(path))
        elif os.path.isfile(path):
            row += [facts.st_mtime_ns, facts.st_size, facts.st_blocks < 1000]
            row.append(hashlib.sha256(open(path, 'rb').read()).hexdigest())
            try:
                row.append({key: os.getxattr(path, key) for key in os.listxattr(path)})
            except OSError:
                pass
        print(row)
END`
