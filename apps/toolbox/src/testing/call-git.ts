import { join } from 'node:path'
import { gitIn } from './git-remote.ts'
import type { TestToolbox } from './test-toolbox.ts'
import { bodyOf } from './test-toolbox.ts'

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

export function gitCalls(toolbox: TestToolbox): GitCalls {
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
