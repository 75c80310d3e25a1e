import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readEvents } from './system-rows.ts'

const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g
/** Sandboxes told of, and lines of the logs about each. */
const MAX_EXPLAINED = 5
const MAX_LOG_LINES = 20
const MAX_LINE_CHARACTERS = 500

/**
 * What happened to the sandboxes that problems name, from their events and the logs, while those are there. The first of
 * the data folders has the database.
 */
export async function explain(problems: readonly string[], dataDirs: readonly string[]): Promise<string[]> {
  const [dataDir = ''] = dataDirs
  const ids = [...new Set(problems.flatMap((problem) => problem.match(ID) ?? []))].slice(0, MAX_EXPLAINED)
  const explained = await Promise.all(
    ids.map(async (id) => [
      `about ${id}`,
      ...(await eventsOf(id, dataDir)),
      ...dataDirs.flatMap((folder) => logLinesOf(id, folder)),
    ]),
  )
  return explained.flat()
}

async function eventsOf(id: string, dataDir: string): Promise<string[]> {
  try {
    return (await readEvents(dataDir, id)).map(
      ({ at, event, fromState, toState, reason }) =>
        `  ${at.toISOString()} ${event}: ${fromState ?? 'nothing'} → ${toState}${reason ? ` (${reason})` : ''}`,
    )
  } catch (error) {
    return [`  its events cannot be read: ${error instanceof Error ? error.message : error}`]
  }
}

function logLinesOf(id: string, dataDir: string): string[] {
  return ['api', 'runner'].flatMap((program) => {
    const path = join(dataDir, `logs/${program}.log`)
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
    return lines
      .filter((line) => line.includes(id) && !line.includes('"level":30'))
      .slice(-MAX_LOG_LINES)
      .map((line) => `  ${program} ${readable(line)}`)
  })
}

function readable(line: string): string {
  try {
    const { time, msg, step, err } = JSON.parse(line) as Record<string, unknown>
    const reason = typeof err === 'object' && err !== null ? JSON.stringify(err) : ''
    return `${new Date(Number(time)).toISOString()} ${msg} ${step ?? ''} ${reason}`.slice(0, MAX_LINE_CHARACTERS)
  } catch {
    // Not of our logger.
    return line.slice(0, MAX_LINE_CHARACTERS)
  }
}
