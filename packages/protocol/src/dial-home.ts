/** Where a toolbox dials in, on the public port and on the API's dial-home socket. Bearer: the sandbox's token. */
export const TOOLBOX_TUNNEL_PATH = '/api/tunnels/toolbox'

/** Where a runner dials in. Bearer: the runner's token. */
export const RUNNER_TUNNEL_PATH = '/api/tunnels/runner'

/** File name of the API's dial-home socket, in a folder of its own that the runner mounts into sandboxes. */
export const DIAL_HOME_SOCKET_NAME = 'dial-home.sock'

/** Where that folder appears inside a sandbox. */
export const SANDBOX_DIAL_HOME_DIR = '/run/atoll'

/** Where the injected, read-only runtime (Node, its libraries, the toolbox bundle) appears inside a sandbox. */
export const SANDBOX_RUNTIME_DIR = '/opt/atoll'

/** Where the injected, read-only tools (apps/sandbox-tools) appear inside a sandbox, wherever its PATH leads. */
export const SANDBOX_TOOLS_DIR = '/opt/atoll/tools'

/**
 * Before the name of each variable of a sandbox's own environment on its way to the toolbox, which takes it off
 * for what it starts. So a user's NODE_OPTIONS or LD_PRELOAD is for the user's programs, never for the toolbox itself.
 */
export const SANDBOX_VARIABLE_PREFIX = 'ATOLL_ENV_'

/** Marks an answer as the toolbox's own refusal, by its error code: a server in the sandbox cannot set it. */
export const TOOLBOX_REFUSAL_HEADER = 'x-atoll-toolbox-refusal'
