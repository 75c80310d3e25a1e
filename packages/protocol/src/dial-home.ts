/** The path that a toolbox dials, on the public port and on a dial-home socket. Bearer: the sandbox's token. */
export const TOOLBOX_TUNNEL_PATH = '/api/tunnels/toolbox'

/** The path that a runner dials. Bearer: the runner's token. */
export const RUNNER_TUNNEL_PATH = '/api/tunnels/runner'

/** File name of a dial-home socket, of the API or of a runner. It lies in a folder of its own, which is mounted into sandboxes. */
export const DIAL_HOME_SOCKET_NAME = 'dial-home.sock'

/** The path of that folder inside a sandbox. */
export const SANDBOX_DIAL_HOME_DIR = '/run/atoll'

/** The path, inside a sandbox, of the injected, read-only runtime: Node, its libraries, the toolbox bundle. */
export const SANDBOX_RUNTIME_DIR = '/opt/atoll'

/** The path, inside a sandbox, of the injected, read-only tools (apps/sandbox-tools), whatever its PATH is. */
export const SANDBOX_TOOLS_DIR = '/opt/atoll/tools'

/**
 * The prefix of each variable of a sandbox's own environment on its way to the toolbox, which removes the prefix for the
 * programs it starts. So a user's NODE_OPTIONS or LD_PRELOAD affects the user's programs, never the toolbox itself.
 */
export const SANDBOX_VARIABLE_PREFIX = 'ATOLL_ENV_'

/** The header, with the error code, that marks the toolbox's own refusal. A server in the sandbox cannot set it. */
export const TOOLBOX_REFUSAL_HEADER = 'x-atoll-toolbox-refusal'
