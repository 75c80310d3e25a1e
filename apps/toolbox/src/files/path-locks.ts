/** Lets only one piece of work run at a time for each path. */
export interface PathLocks {
  /** Runs `work` when all earlier work on the path has ended, failed or not. */
  inTurn<Result>(path: string, work: () => Promise<Result>): Promise<Result>
}

export function createPathLocks(): PathLocks {
  const last = new Map<string, Promise<unknown>>()
  return {
    async inTurn(path, work) {
      const turn = (last.get(path) ?? Promise.resolve()).then(work, work)
      last.set(path, turn)
      try {
        return await turn
      } finally {
        if (last.get(path) === turn) last.delete(path)
      }
    },
  }
}
