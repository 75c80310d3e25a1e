import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { gitIn } from './git-remote.ts'
import type { TestToolbox } from './test-toolbox.ts'
import { bodyOf, createTestToolbox } from './test-toolbox.ts'

/** The author of what tests commit. */
const author = { author: 'Ada', email: 'ada@example.com' }

export interface GitAnswer {
  status: number
  /** The code of an error. */
  code: unknown
  message: string
  body: unknown
}

/** Calls git's operations, and runs git itself to examine the results. */
export interface GitCalls {
  post(verb: string, json: object, signal?: AbortSignal): Promise<GitAnswer>
  get(verb: string, query?: Record<string, string>): Promise<GitAnswer>
  remove(verb: string, json: object): Promise<GitAnswer>
  /** Runs git in a folder of the toolbox, but not through the toolbox. */
  inside(folder: string): (...args: string[]) => string
  at(name: string): string
}

export function gitCalls(toolbox: Pick<TestToolbox, 'folder' | 'call'>): GitCalls {
  const at = (name: string) => join(toolbox.folder, name)
  const call = async (method: string, verb: string, options: object): Promise<GitAnswer> => {
    const response = await toolbox.call(method, `/git/${verb}`, options)
    const body: unknown = response.body.length === 0 ? undefined : JSON.parse(response.body.toString())
    const { code, message } = Array.isArray(body) || body === undefined ? {} : bodyOf(response)
    return { status: response.status, code, message: String(message ?? ''), body }
  }
  return {
    at,
    inside: (folder) => gitIn(at(folder)),
    post: (verb, json, signal) => call('POST', verb, { json, ...(signal === undefined ? {} : { signal }) }),
    get: (verb, query = {}) => call('GET', verb, { query }),
    remove: (verb, json) => call('DELETE', verb, { json }),
  }
}

/** A toolbox with an empty repository in its folder `repo`, and calls that use that repository. */
export interface OwnRepository {
  readonly calls: GitCalls
  /** Runs git in the repository, but not through the toolbox. */
  git(...args: string[]): string
  /** Returns the path of a file in the repository. */
  file(name: string): string
  add(...files: string[]): Promise<GitAnswer>
  commit(more?: object): Promise<GitAnswer>
  /** Writes a file, commits it and returns the commit's hash. */
  committed(name: string, content: string): Promise<string>
}

/** Makes a toolbox and its repository before each test of the file, and removes them after it. */
export function ownRepository(): OwnRepository {
  let toolbox: TestToolbox
  const calls = gitCalls({
    get folder() {
      return toolbox.folder
    },
    call: (...call) => toolbox.call(...call),
  })
  beforeEach(async () => {
    toolbox = await createTestToolbox()
    expect(await calls.post('init', { path: 'repo', initial_branch: 'main' })).toMatchObject({ status: 200 })
  })
  afterEach(() => toolbox[Symbol.asyncDispose]())

  const file = (name: string) => calls.at(`repo/${name}`)
  const add = (...files: string[]) => calls.post('add', { path: 'repo', files })
  const commit = (more: object = {}) => calls.post('commit', { path: 'repo', message: 'message', ...author, ...more })
  return {
    calls,
    git: (...args) => calls.inside('repo')(...args),
    file,
    add,
    commit,
    async committed(name, content) {
      await writeFile(file(name), content)
      await add(name)
      const { body } = await commit({ message: `${name}: ${content}` })
      return String(Object(body).hash)
    },
  }
}
