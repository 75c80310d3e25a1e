/** Settings with which committed data survives the end of the server's processes, though not of the machine. */
export const SURVIVES_KILL = { synchronous_commit: 'on' }
