import type { ImageConfig } from '@atoll/protocol'
import {
  AppError,
  DIAL_HOME_SOCKET_NAME,
  SANDBOX_DIAL_HOME_DIR,
  SANDBOX_RUNTIME_DIR,
  SANDBOX_TOOLS_DIR,
  SANDBOX_VARIABLE_PREFIX,
  TOOLBOX_TUNNEL_PATH,
} from '@atoll/protocol'
import type { SandboxUser } from './snapshot.ts'

/** Most bytes of a sandbox's own environment: names, values and separators; the kernel takes 128 KiB a string. */
const MAX_ENVIRONMENT_BYTES = 128 * 1024
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const NAME = /^[^=\0]+$/

export interface EnvironmentOptions {
  sandboxId: string
  user: SandboxUser
  toolboxToken: string
  /** The sandbox's own variables, for processes that the toolbox starts; names that start with ATOLL_ are not passed on. */
  env: Readonly<Record<string, string>>
  /** The image's settings, which hold where the sandbox has none. */
  image?: Pick<ImageConfig, 'env' | 'workDir'>
  /** Program and arguments that the toolbox starts by itself; empty: none. */
  entrypoint?: readonly string[]
  /** The toolbox does nothing until it is claimed. */
  awaitsClaim?: boolean
}

/** Returns the environment that the toolbox is started with. Throws BAD_REQUEST for variables that no process can be given. */
export function sandboxEnvironment(options: EnvironmentOptions): Record<string, string> {
  const { image = { env: {}, workDir: '' }, entrypoint = [] } = options
  const all = { ...withoutAccount(image.env), ...options.env }
  const own = Object.entries(all).filter(([name]) => !name.startsWith('ATOLL_'))
  let bytes = 0
  for (const [name, value] of own) {
    if (!NAME.test(name) || value.includes('\0'))
      throw new AppError('BAD_REQUEST', `bad environment variable ${JSON.stringify(name)}`)
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 2
  }
  if (bytes > MAX_ENVIRONMENT_BYTES) {
    throw new AppError('BAD_REQUEST', `the environment is over ${MAX_ENVIRONMENT_BYTES} bytes`)
  }
  const command = JSON.stringify(entrypoint)
  if (command.includes('\\u0000') || Buffer.byteLength(command) > MAX_ENVIRONMENT_BYTES) {
    throw new AppError('BAD_REQUEST', `an entrypoint has at most ${MAX_ENVIRONMENT_BYTES} bytes and no zero`)
  }
  return {
    PATH: withTools(SYSTEM_PATH),
    HOME: options.user.home,
    USER: options.user.name,
    LOGNAME: options.user.name,
    LANG: 'C.UTF-8',
    ...Object.fromEntries(
      own.map(([name, value]) => [SANDBOX_VARIABLE_PREFIX + name, name === 'PATH' ? withTools(value) : value]),
    ),
    ATOLL_CONTROL_URL: `ws+unix:${SANDBOX_DIAL_HOME_DIR}/${DIAL_HOME_SOCKET_NAME}:${TOOLBOX_TUNNEL_PATH}`,
    ATOLL_TOOLBOX_TOKEN: options.toolboxToken,
    ATOLL_SANDBOX_ID: options.sandboxId,
    ...(entrypoint.length === 0 ? {} : { ATOLL_ENTRYPOINT: command }),
    ...(image.workDir === '' ? {} : { ATOLL_WORK_DIR: image.workDir }),
    ...(options.awaitsClaim === true ? { ATOLL_AWAITS_CLAIM: '1' } : {}),
  }
}

/** Leaves out the variables of the image's own user: a sandbox may run as another user. */
function withoutAccount(env: Readonly<Record<string, string>>): Record<string, string> {
  const { HOME: _, USER: __, LOGNAME: ___, ...rest } = env
  return rest
}

/**
 * Returns a PATH with the injected programs. The image's programs come before all of them but npx: the image's npx would look
 * for the injected tools in a registry.
 */
export function withTools(path: string): string {
  const last = [`${SANDBOX_TOOLS_DIR}/bin`, `${SANDBOX_RUNTIME_DIR}/bin`]
  return [`${SANDBOX_TOOLS_DIR}/first`, path, ...last].join(':')
}
