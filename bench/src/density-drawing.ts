import { drawChart } from './density-chart.ts'
import { type DensityPoint, MAX_CALL_RATIO, MAX_SANDBOX_MB } from './density-point.ts'
import { percentile } from './measure.ts'

/** Draws memory and calls over the number of sandboxes. */
export function drawDensity(points: readonly DensityPoint[]): string {
  const many = points.slice(1)
  const ends = [points[0]?.sandboxes ?? 0, points.at(-1)?.sandboxes ?? 0]
  const line = (label: string, from: readonly DensityPoint[], y: (point: DensityPoint) => number) => ({
    label,
    points: from.map((point) => ({ x: point.sandboxes, y: y(point) })),
  })
  const target = (label: string, y: number) => ({ label, points: ends.map((x) => ({ x, y })), isTarget: true })
  return drawChart('idle sandboxes', [
    {
      title: 'Memory of each, MB',
      lines: [
        line('everything, kernel too', many, (point) => point.wholeMb),
        line('its own processes, private', points, (point) => point.privateMb),
        target(`target: ${MAX_SANDBOX_MB} MB`, MAX_SANDBOX_MB),
      ],
    },
    {
      title: 'A small toolbox call through the API, p50, ms',
      lines: [
        line('to one of them', points, (point) => percentile(point.one, 0.5)),
        line('to each in turn', points, (point) => percentile(point.each, 0.5)),
        line('to the only one', points, (point) => percentile(point.alone, 0.5)),
        {
          ...line(
            `target: ${MAX_CALL_RATIO} of that`,
            points,
            (point) => percentile(point.alone, 0.5) * MAX_CALL_RATIO,
          ),
          isTarget: true,
        },
      ],
    },
  ])
}
