import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineOperation } from '../operation.ts'
import { Empty } from './operation-parts.ts'

/** The range of ports that `ports` and `in-use` of the contract cover. */
export const FIRST_APP_PORT = 3000
export const LAST_APP_PORT = 9999

export const PortListener = Type.Object(
  {
    port: Type.Integer(),
    address: Type.String({ description: 'What it listens on, such as 0.0.0.0 or ::1' }),
    pid: Type.Optional(Type.Integer({ description: 'Absent for a process of another user' })),
    command: Type.Optional(Type.String({ description: 'Its command line' })),
  },
  { $id: 'PortListener' },
)
export type PortListener = Static<typeof PortListener>

export const PortList = Type.Object(
  {
    ports: Type.Array(Type.Integer(), { description: `Those from ${FIRST_APP_PORT} to ${LAST_APP_PORT}, ascending` }),
    listeners: Type.Array(PortListener, { description: 'Every TCP port, with the process behind it' }),
  },
  { $id: 'PortList' },
)
export type PortList = Static<typeof PortList>

/** Ports that programs in the sandbox listen on. §20.3 of the contract. */
export const portOperations = {
  listPorts: defineOperation({
    method: 'GET',
    path: '/port',
    summary: 'List the TCP ports that something listens on',
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: PortList,
    errors: [],
  }),
  isPortInUse: defineOperation({
    method: 'GET',
    path: '/port/{port}/in-use',
    summary: 'Whether something listens on a port',
    params: Type.Object({ port: Type.String({ description: `${FIRST_APP_PORT} to ${LAST_APP_PORT}` }) }),
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object({ isInUse: Type.Boolean() }),
    errors: ['BAD_REQUEST'],
  }),
} as const
