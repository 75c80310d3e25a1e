/** A line of a chart: a value for each place on the horizontal axis. */
export interface ChartLine {
  label: string
  points: readonly { x: number; y: number }[]
  /** Whether the line is a target, drawn dashed. */
  isTarget?: boolean
}

/** One of two drawings that share the horizontal axis. */
export interface ChartPanel {
  title: string
  lines: readonly ChartLine[]
}

const WIDTH = 760
const PANEL_HEIGHT = 250
const MARGIN = { left: 60, right: 200, top: 40, bottom: 40 }
const COLOURS = ['#1668b8', '#b3540a', '#2f7d32', '#7a3fa0']
const TARGET_COLOUR = '#888888'
const STEPS = 5
/** The least distance between the labels of lines that end near each other. */
const LABEL_HEIGHT = 16

/** Returns an SVG with one panel below the other; readable on a light and on a dark page. */
export function drawChart(xTitle: string, panels: readonly ChartPanel[]): string {
  const height = PANEL_HEIGHT * panels.length
  const drawn = panels.map((panel, index) => drawPanel(panel, { top: index * PANEL_HEIGHT, xTitle })).join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>One to five hundred idle sandboxes: memory of each, and the time of a call</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${drawn}</svg>
`
}

function drawPanel({ title, lines }: ChartPanel, { top, xTitle }: { top: number; xTitle: string }): string {
  const all = lines.flatMap(({ points }) => points)
  const most = { x: Math.max(...all.map(({ x }) => x)), y: niceCeiling(Math.max(...all.map(({ y }) => y))) }
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right]
  const [high, low] = [top + MARGIN.top, top + PANEL_HEIGHT - MARGIN.bottom]
  const at = {
    x: (value: number) => left + (value / most.x) * (right - left),
    y: (value: number) => low - (value / most.y) * (low - high),
  }
  const rows = Array.from({ length: STEPS + 1 }, (_, step) => (most.y * step) / STEPS)
  const grid = rows.map(
    (value) =>
      `<path d="M${left} ${at.y(value).toFixed(1)}H${right}" stroke="#dddddd"/>` +
      `<text x="${left - 8}" y="${(at.y(value) + 4).toFixed(1)}" text-anchor="end">${format(value)}</text>`,
  )
  const xs = [...new Set(lines.flatMap((line) => (line.isTarget ? [] : line.points.map(({ x }) => x))))]
  const places = xs.map(
    (value) => `<text x="${at.x(value).toFixed(1)}" y="${low + 16}" text-anchor="middle">${value}</text>`,
  )
  const labelled = placeLabels(lines.map(({ points }) => at.y(points.at(-1)?.y ?? 0)))
  const curves = lines.map((line, index) => {
    const colour = line.isTarget ? TARGET_COLOUR : (COLOURS[index % COLOURS.length] ?? '')
    const path = line.points.map(({ x, y }) => `${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`).join('L')
    const dots = line.points.map(
      ({ x, y }) => `<circle cx="${at.x(x).toFixed(1)}" cy="${at.y(y).toFixed(1)}" r="2.5" fill="${colour}"/>`,
    )
    return (
      `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="1.5"${line.isTarget ? ' stroke-dasharray="6 4"' : ''}/>` +
      `${line.isTarget ? '' : dots.join('')}` +
      `<text x="${right + 8}" y="${((labelled[index] ?? 0) + 4).toFixed(1)}" fill="${colour}">${escapeText(line.label)}</text>`
    )
  })
  const heading = `<text x="${left}" y="${top + 20}" font-weight="bold">${escapeText(title)}</text>`
  const below = `<text x="${right}" y="${low + 32}" text-anchor="end">${escapeText(xTitle)}</text>`
  return `${[heading, ...grid, ...places, below, ...curves].join('\n')}\n`
}

/** Returns heights near the wanted ones, at least a line of text apart. */
function placeLabels(wanted: readonly number[]): number[] {
  const placed = [...wanted]
  let last = Number.NEGATIVE_INFINITY
  for (const { index } of wanted.map((y, index) => ({ y, index })).sort((one, other) => one.y - other.y)) {
    last = Math.max(wanted[index] ?? 0, last + LABEL_HEIGHT)
    placed[index] = last
  }
  return placed
}

/** Returns the next value that is 1, 2, 2.5, 5 or 10 times a power of ten. */
export function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 2.5, 5, 10].find((step) => step * power >= value) ?? 10)
}

function format(value: number): string {
  return String(Number(value.toPrecision(3)))
}

function escapeText(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
}
