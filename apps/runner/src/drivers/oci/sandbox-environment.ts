import {
  AppError,
  DIAL_HOME_SOCKET_NAME,
  SANDBOX_DIAL_HOME_DIR,
  SANDBOX_VARIABLE_PREFIX,
  TOOLBOX_TUNNEL_PATH,
} from '@atoll/protocol'
import type { SandboxUser } from './snapshot.ts'

/** Most bytes of a sandbox's own environment: names, values and separators; the kernel takes 128 KiB a string. */
export const MAX_ENVIRONMENT_BYTES = 128 * 1024
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const NAME = /^[^=\0]+$/

export interface EnvironmentOptions {
  sandboxId: string
  user: SandboxUser
  toolboxToken: string
  /** The sandbox's own, for what the toolbox starts; names that start with ATOLL_ are not passed on. */
  env: Readonly<Record<string, string>>
}

/** The environment that the toolbox is started with. Throws BAD_REQUEST for what no process can be given. */
export function sandboxEnvironment(options: EnvironmentOptions): Record<string, string> {
  const own = Object.entries(options.env).filter(([name]) => !name.startsWith('ATOLL_'))
  let bytes = 0
  for (const [name, value] of own) {
    if (!NAME.test(name) || value.includes('\0'))
      throw new AppError('BAD_REQUEST', `bad environment variable ${JSON.stringify(name)}`)
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 2
  }
  if (bytes > MAX_ENVIRONMENT_BYTES) {
    throw new AppError('BAD_REQUEST', `the environment is over ${MAX_ENVIRONMENT_BYTES} bytes`)
  }
  return {
    PATH: SYSTEM_PATH,
    HOME: options.user.home,
    USER: options.user.name,
    LOGNAME: options.user.name,
    LANG: 'C.UTF-8',
    ...Object.fromEntries(own.map(([name, value]) => [SANDBOX_VARIABLE_PREFIX + name, value])),
    ATOLL_CONTROL_URL: `ws+unix:${SANDBOX_DIAL_HOME_DIR}/${DIAL_HOME_SOCKET_NAME}:${TOOLBOX_TUNNEL_PATH}`,
    ATOLL_TOOLBOX_TOKEN: options.toolboxToken,
    ATOLL_SANDBOX_ID: options.sandboxId,
  }
}
