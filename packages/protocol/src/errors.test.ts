import { Value } from 'typebox/value'
import { describe, expect, it } from 'vitest'
import { AppError, ErrorBody, type ErrorCode, errorBody, errorStatus } from './errors.ts'

const codes = Object.keys(errorStatus) as ErrorCode[]

describe('errorBody', () => {
  it.each(codes)('%s has the body of the contract with its own status', (code) => {
    const body = errorBody(new AppError(code, 'what happened'), {
      source: 'DAYTONA_API',
      method: 'GET',
      path: '/api/x',
      requestId: 'r1',
      now: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    })
    expect(Value.Check(ErrorBody, body)).toBe(true)
    expect(body).toEqual({
      statusCode: errorStatus[code],
      message: 'what happened',
      error: expect.stringMatching(/^[A-Z][A-Za-z ]+$/),
      code,
      source: 'DAYTONA_API',
      path: '/api/x',
      method: 'GET',
      timestamp: '2026-01-02T03:04:05.006Z',
      requestId: 'r1',
    })
    expect(body.error).not.toBe('Error')
  })

  it('tells details and a solution where the error has them', () => {
    const context = { source: 'DAYTONA_DAEMON', method: 'GET', path: '/', now: 0 } as const
    const error = new AppError('COMPUTER_USE_UNAVAILABLE', 'no', { details: 'why', solution: 'what to do' })
    const body = errorBody(error, context)
    expect(body).toMatchObject({ message: 'no', details: 'why', solution: 'what to do' })
    expect(Value.Check(ErrorBody, body)).toBe(true)
  })

  it('leaves out a request id nobody gave', () => {
    const context = { source: 'DAYTONA_DAEMON', method: 'GET', path: '/', now: 0 } as const
    expect(errorBody(new AppError('NOT_FOUND', 'no'), context)).not.toHaveProperty('requestId')
  })
})
