import { call } from './shared-system.ts'

/** The methods that a sandbox has in every SDK generation. */
export interface AnySandbox {
  readonly id: string
  readonly process: {
    executeCommand(command: string, cwd?: string): Promise<{ exitCode: number; result: string }>
  }
}

/** Runs a command that must not fail; returns its output, trimmed. */
export async function shell(sandbox: AnySandbox, command: string): Promise<string> {
  const { exitCode, result } = await sandbox.process.executeCommand(command)
  if (exitCode !== 0) throw new Error(`${command}: status ${exitCode}: ${result}`)
  return result.trim()
}

/** Writes a file over plain HTTP, whichever SDK is under test. Relative paths start in the home folder. */
export async function writeFileIn(sandbox: AnySandbox, path: string, text: string): Promise<void> {
  const form = new FormData()
  form.append('file', new Blob([text]), 'given')
  const query = new URLSearchParams({ path })
  const answer = await call(`/toolbox-proxy/${sandbox.id}/files/upload?${query}`, { method: 'POST', body: form })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
}

/** Sends a GET to the toolbox by the path of the old generations; returns the parsed answer. */
export async function getFromToolbox(sandbox: AnySandbox, path: string): Promise<unknown> {
  const answer = await call(`/toolbox/${sandbox.id}/toolbox${path}`)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}
