/** Results held for a reader that is slower than the work. */
const MAX_HELD_BATCHES = 32

/** Passes results on; resolves when there is room for more. */
export type Emit<Result> = (results: Result) => Promise<void>

/**
 * Works on items several at a time, one in each lane, and yields results as the work emits them. Held results and items
 * are bounded: work waits for the reader. A failure of the work ends the loop, and leaving the loop ends the work.
 */
export async function* inLanes<Lane, Item, Result>(options: {
  items: AsyncIterable<readonly Item[]>
  lanes: readonly Lane[]
  work: (item: Item, lane: Lane, emit: Emit<Result>) => Promise<void>
}): AsyncGenerator<Result, void, undefined> {
  const { lanes, work } = options
  const held: Result[] = []
  const room = createSignal()
  const news = createSignal()
  let over = false
  const { next, close } = createPuller(options.items)

  const emit: Emit<Result> = async (result) => {
    held.push(result)
    news.fire()
    while (held.length >= MAX_HELD_BATCHES && !over) await room.next()
  }
  async function runLane(lane: Lane): Promise<void> {
    for (let item = await next(); item !== undefined && !over; item = await next()) await work(item, lane, emit)
  }
  const running = Promise.all(lanes.map(runLane)).finally(() => {
    over = true
    news.fire()
  })
  // `await running` below throws the failure, unless the reader has left by then.
  running.catch(() => {})
  try {
    while (!over || held.length > 0) {
      if (held.length === 0) await news.next()
      for (let result = held.shift(); result !== undefined; result = held.shift()) {
        room.fire()
        yield result
      }
    }
    await running
  } finally {
    over = true
    room.fire()
    await running.catch(() => {})
    await close()
  }
}

/** Returns one item at a time from batches that are fetched one after the other; undefined at the end. */
function createPuller<Item>(batches: AsyncIterable<readonly Item[]>) {
  const source = batches[Symbol.asyncIterator]()
  let batch: readonly Item[] = []
  let index = 0
  let fetching: Promise<void> | undefined
  let ended = false
  async function fetch(): Promise<void> {
    const { value, done } = await source.next()
    if (done) ended = true
    else batch = value
    index = 0
    fetching = undefined
  }
  const next = async (): Promise<Item | undefined> => {
    while (index >= batch.length && !ended) {
      fetching ??= fetch()
      await fetching
    }
    const item = ended ? undefined : batch[index]
    index += 1
    return item
  }
  return { next, close: async () => void (await source.return?.()) }
}

/** Wakes all callers that wait, once; a caller that waits later waits for the next time. */
function createSignal() {
  let wake = () => {}
  let fired = new Promise<void>((resolve) => {
    wake = resolve
  })
  return {
    next: () => fired,
    fire() {
      wake()
      fired = new Promise<void>((resolve) => {
        wake = resolve
      })
    },
  }
}
