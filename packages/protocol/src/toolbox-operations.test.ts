import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import { toolboxOperations } from './toolbox-operations.ts'

describe('toolboxOperations', () => {
  const operations = Object.entries(toolboxOperations)

  it('declares each method and path once', () => {
    const keys = operations.map(([, operation]) => `${operation.method} ${operation.path}`)
    expect(new Set(keys).size).toBe(keys.length)
  })

  it.each(operations)('%s names errors that exist and a success status', (_name, operation) => {
    for (const code of operation.errors) expect(errorStatus).toHaveProperty(code)
    expect(operation.status).toBeGreaterThanOrEqual(200)
    expect(operation.status).toBeLessThan(300)
    expect(operation.path).toMatch(/^\/[a-z/-]+$/)
  })
})
