import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { access, chmod, copyFile, cp, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { SANDBOX_RUNTIME_DIR, SANDBOX_TOOLS_DIR } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { isThere } from '../../files.ts'
import type { RunCommand } from '../../run-command.ts'
import { writeOnce } from './file-tree.ts'

const TINI_PATHS = ['/usr/bin/tini-static', '/usr/local/bin/tini-static', '/sbin/tini-static']
const TOOLBOX_ENTRY = 'main.js'
/** Changes when other files are written beside the sources, so that an older folder is not taken for a new one. */
const LAYOUT_VERSION = 2
const NODE_FLAGS_FILE = 'node-flags.json'
/** Native parts of the toolbox, which Node loads into itself. */
const ADDON_SUFFIX = '.node'
const NodeFlags = Type.Array(Type.String({ pattern: '^--[a-z0-9-]+(=.*)?$', maxLength: 256 }), { maxItems: 32 })

/** The folder that appears as /opt/atoll in every sandbox, and the commands that start its programs there. */
export interface InjectedRuntime {
  /** On the host. */
  folder: string
  /** Starts Node in a sandbox, under an init that collects orphans; Node's own arguments follow. */
  nodeCommand: readonly string[]
  /** Starts the toolbox in the same way. */
  toolboxCommand: readonly string[]
}

export interface InjectedRuntimeOptions {
  /** Folder in which the runtime's folder is made. */
  folder: string
  nodePath: string
  /** Folder with the toolbox's bundle, `main.js` its entry. */
  toolboxDir: string
  run: RunCommand
}

/**
 * Copies Node with the loader and libraries that it and the toolbox's addons need, an init and the toolbox into one
 * folder named by its content. Node is started through that loader, so the image of a sandbox needs neither. Throws an
 * Error that names the program that is missing on this host.
 */
export async function prepareInjectedRuntime(options: InjectedRuntimeOptions): Promise<InjectedRuntime> {
  const { toolboxDir, run } = options
  await access(join(toolboxDir, TOOLBOX_ENTRY)).catch((cause) => {
    throw new Error(`no toolbox bundle: ${join(toolboxDir, TOOLBOX_ENTRY)} is not there; build the toolbox first`, {
      cause,
    })
  })
  const tini = await findStaticTini(run)
  const node = await realpath(options.nodePath)
  const toolboxFiles = await filesBelow(toolboxDir)
  const addons = toolboxFiles.filter((path) => path.endsWith(ADDON_SUFFIX))
  const { loader, libraries } = await linkedByAll([node, ...addons], run)
  const sources = [tini, node, ...(loader === undefined ? [] : [loader]), ...libraries]
  const throughLoader = loader === undefined ? [] : [inside('lib', basename(loader)), '--library-path', inside('lib')]
  const plainNode = [...throughLoader, inside('node')]
  const hash = await hashFiles([...sources, ...toolboxFiles])
  const folder = join(options.folder, `runtime-${hash}`)
  await writeOnce(folder, async (draft) => {
    await mkdir(join(draft, 'lib'), { recursive: true, mode: 0o755 })
    await copyProgram(tini, join(draft, 'tini'))
    await copyProgram(node, join(draft, 'node'))
    for (const file of [...(loader === undefined ? [] : [loader]), ...libraries]) {
      await copyProgram(await realpath(file), join(draft, 'lib', basename(file)))
    }
    // Marks the bundle as ES modules, whatever files lie beside it.
    await writeFile(join(draft, 'package.json'), '{ "type": "module" }\n')
    await copyReadable(toolboxDir, join(draft, 'toolbox'))
    await writeNodeProgram(join(draft, 'bin'), plainNode)
    // The mount point of the tools.
    await mkdir(join(draft, relative(SANDBOX_RUNTIME_DIR, SANDBOX_TOOLS_DIR)), { mode: 0o755 })
  })
  const nodeCommand = [inside('tini'), '--', ...plainNode]
  const flags = await readNodeFlags(join(toolboxDir, NODE_FLAGS_FILE))
  return { folder, nodeCommand, toolboxCommand: [...nodeCommand, ...flags, inside('toolbox', TOOLBOX_ENTRY)] }
}

function inside(...parts: string[]): string {
  return join(SANDBOX_RUNTIME_DIR, ...parts)
}

/**
 * Writes a program `node` for the tools, and for users whose image has none. Node takes the loader that it runs through for
 * itself, so process.execPath is set to this program: fork, for one, starts it anew.
 */
async function writeNodeProgram(folder: string, command: readonly string[]): Promise<void> {
  await mkdir(folder, { mode: 0o755 })
  const program = JSON.stringify(inside('bin', 'node'))
  await writeFile(join(folder, 'exec-path.cjs'), `process.execPath = process.argv[0] = ${program}\n`)
  const call = [...command, '--require', inside('bin', 'exec-path.cjs')].join(' ')
  await writeFile(join(folder, 'node'), `#!/bin/sh\nexec ${call} "$@"\n`)
  await chmod(join(folder, 'node'), 0o755)
}

async function findStaticTini(run: RunCommand): Promise<string> {
  for (const path of TINI_PATHS) {
    if (!(await isThere(path))) continue
    const { loader } = await linkedFiles(path, run)
    if (loader === undefined) return path
    throw new Error(`${path} is not statically linked, so it cannot run in every image; reinstall the package tini`)
  }
  throw new Error('tini-static is not installed; install the package tini')
}

/** Returns the loader of the first program, and the libraries of all: the first of each name, which serves all programs. */
async function linkedByAll(programs: readonly string[], run: RunCommand): ReturnType<typeof linkedFiles> {
  const linked = await Promise.all(programs.map((program) => linkedFiles(program, run)))
  const byName = new Map<string, string>()
  for (const path of linked.flatMap(({ libraries }) => libraries)) {
    if (!byName.has(basename(path))) byName.set(basename(path), path)
  }
  return { loader: linked[0]?.loader, libraries: [...byName.values()] }
}

/** Returns the loader and shared libraries of a program, as its own loader resolves them; none for a static program. */
async function linkedFiles(
  program: string,
  run: RunCommand,
): Promise<{ loader: string | undefined; libraries: string[] }> {
  const { stdout } = await run(['ldd', program], { accept: [0, 1] })
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1]
  if (missing !== undefined) throw new Error(`${program} needs ${missing}, which is not installed`)
  const resolved = [...stdout.matchAll(/^\s*(?:\S+ => )?(\/\S+)/gm)].flatMap(([, path]) => path ?? [])
  const loader = resolved.find((path) => /^ld(-linux|-musl|64)?[-.]/.test(basename(path)))
  return { loader, libraries: resolved.filter((path) => path !== loader) }
}

async function readNodeFlags(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '[]')
  const flags: unknown = JSON.parse(text)
  if (!Value.Check(NodeFlags, flags)) throw new Error(`${path} is not a list of Node options`)
  return flags
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(`layout ${LAYOUT_VERSION}`)
  for (const path of paths) {
    hash.update(`\0${path}\0`)
    for await (const chunk of createReadStream(path)) hash.update(chunk)
  }
  return hash.digest('hex').slice(0, 16)
}

/** Copies a folder so that every user of a sandbox may read it, whichever account built it. */
async function copyReadable(source: string, target: string): Promise<void> {
  await cp(source, target, { recursive: true, dereference: true })
  const entries = await readdir(target, { withFileTypes: true, recursive: true })
  for (const path of [target, ...entries.map((entry) => join(entry.parentPath, entry.name))]) await chmod(path, 0o755)
}

/** Copies a program; the copy shares blocks with it where the file system can. */
async function copyProgram(source: string, target: string): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_FICLONE)
  await chmod(target, 0o755)
}
