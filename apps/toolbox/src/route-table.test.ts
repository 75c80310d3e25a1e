import { describe, expect, it } from 'vitest'
import { createRouteTable } from './route-table.ts'

const routes = createRouteTable<string>(
  [
    ['/files', 'files'],
    ['/files', 'again'],
    ['/session', 'all'],
    ['/session/{id}', 'one'],
    ['/session/entrypoint', 'first'],
    ['/session/entrypoint/logs', 'first logs'],
    ['/session/{id}/command/{cid}', 'command'],
  ],
  (before, added) => `${before} ${added}`,
)

describe('a route table', () => {
  it.each([
    ['/files', 'files again', {}],
    ['/session/a%2Fb%20c', 'one', { id: 'a/b c' }],
    ['/session/entrypoint', 'first', {}],
    ['/session/entrypoint/command/7', 'command', { id: 'entrypoint', cid: '7' }],
    ['/session/__proto__/command/constructor', 'command', { id: '__proto__', cid: 'constructor' }],
  ])('finds %s', (path, entry, params) => {
    expect(routes.find(path)).toEqual({ entry, params })
  })

  it.each(['/', '', '/file', '/files/', '/session/', '/session//command/1', '/session/a/command', '/session/a/b/c/d'])(
    'knows no %j',
    (path) => {
      expect(routes.find(path)).toBeUndefined()
    },
  )

  it('refuses a broken escape', () => {
    expect(() => routes.find('/session/%zz')).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }))
  })

  it('refuses two names for one parameter', () => {
    const entries: [string, string][] = [
      ['/a/{x}', '1'],
      ['/a/{y}/b', '2'],
    ]
    expect(() => createRouteTable(entries, (before) => before)).toThrow('two names')
  })
})
