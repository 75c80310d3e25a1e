/* Who calls, in a process of its own that holds nothing else: the heap of the benchmark itself would slow it down. */
import { callsPerSecond } from './tunnel-calls.ts'
import { download, keystrokes, oneCall, type Route, slowDownload, upload } from './tunnel-load.ts'
import { serveParent } from './tunnel-programs.ts'

const loads = { callsPerSecond, oneCall, download, upload, keystrokes, slowDownload }

/** What to call, and how much of it; each load says what that means. */
export interface LoadQuestion {
  load: keyof typeof loads
  route: Route
  amount: number
}

serveParent(0, (question) => {
  const { load, route, amount } = question as LoadQuestion
  return loads[load](route, amount)
})
