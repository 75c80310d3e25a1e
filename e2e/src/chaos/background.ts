/** Something that goes on beside the rest, one at a time. */
export interface Background {
  /** False, without doing it, while another goes on. */
  begin(work: () => Promise<void>): boolean
  /** Resolves when nothing goes on; rejects with what the first that failed threw. */
  end(): Promise<void>
}

export function createBackground(): Background {
  let current: Promise<void> | undefined
  const failures: unknown[] = []
  return {
    begin(work) {
      if (current !== undefined) return false
      current = work()
        .catch((error: unknown) => void failures.push(error))
        .finally(() => {
          current = undefined
        })
      return true
    },
    async end() {
      await current
      if (failures.length > 0) throw failures[0]
    },
  }
}
