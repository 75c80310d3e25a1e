/* The caller, in a process of its own with nothing else: the heap of the benchmark itself would slow it down. */
import { callsPerSecond } from './tunnel-calls.ts'
import { download, keystrokes, oneCall, type Route, slowDownload, upload } from './tunnel-load.ts'
import { serveParent } from './tunnel-programs.ts'

const loads = { callsPerSecond, oneCall, download, upload, keystrokes, slowDownload }

/** A load to run on a route; each load defines its `amount`. */
export interface LoadQuestion {
  load: keyof typeof loads
  route: Route
  amount: number
}

serveParent(0, (question) => {
  const { load, route, amount } = question as LoadQuestion
  return loads[load](route, amount)
})
