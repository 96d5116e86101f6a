// Events over time. uPlot draws it; the same figures are a table for those who cannot see it. Loaded when the overview is.
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { TableHead } from '../parts/basic.tsx'
import { go, href } from '../router.ts'
import { theme } from '../session.ts'
import type { Series } from './buckets.ts'

const height = 180

/** A colour of the styles as the canvas takes it: custom properties hold light-dark(), which only an element resolves. */
function colour(element: HTMLElement, name: string): string {
  const probe = document.createElement('span')
  probe.style.setProperty('color', `var(${name})`)
  element.append(probe)
  const found = getComputedStyle(probe).color
  probe.remove()
  return found
}

const pad = (value: number): string => String(value).padStart(2, '0')

/** 14:05, and the date where a day begins. at: seconds since 1970 */
function timeLabels(at: readonly number[]): string[] {
  return at.map(seconds => {
    const time = new Date(seconds * 1000)
    const isMidnight = time.getHours() === 0 && time.getMinutes() === 0
    return isMidnight
      ? `${pad(time.getMonth() + 1)}-${pad(time.getDate())}`
      : `${pad(time.getHours())}:${pad(time.getMinutes())}`
  })
}

function options(element: HTMLElement, width: number): UPlot.Options {
  const line = colour(element, '--line')
  const axis = {
    stroke: colour(element, '--muted'),
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1 },
  }
  return {
    width,
    height,
    cursor: { drag: { x: true, y: false, setScale: false } },
    legend: { show: true, live: false },
    scales: { y: { range: (_chart, _min, max) => [0, Math.max(1, max)] } },
    axes: [
      { ...axis, values: (_chart, at) => timeLabels(at) },
      { ...axis, size: 40 },
    ],
    series: [
      {},
      { label: 'accepted', points: { show: false }, stroke: colour(element, '--accent'), width: 2 },
      {
        label: 'matched',
        points: { show: false },
        stroke: colour(element, '--clear'),
        width: 2,
        dash: [6, 4],
      },
      {
        label: 'failed runs',
        points: { show: false },
        stroke: colour(element, '--stop'),
        width: 2,
        dash: [2, 3],
      },
    ],
    hooks: {
      setSelect: [
        chart => {
          const { left, width: chosen } = chart.select
          if (chosen < 4) return
          const at = (pixel: number): string => new Date(chart.posToVal(pixel, 'x') * 1000).toISOString()
          go(href('events', { since: at(left), until: at(left + chosen) }))
        },
      ],
    },
  }
}

export default function Chart({ series }: { series: Series }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const chart = useRef<UPlot | undefined>(undefined)
  const data: UPlot.AlignedData = [series.at, series.accepted, series.matched, series.failed]
  useEffect(() => {
    const element = box.current!
    const made = new UPlot(options(element, element.clientWidth), data, element)
    chart.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [theme.value])
  useEffect(() => chart.current?.setData(data), [series])
  const rows = series.at
    .map((at, index) => ({ at, index }))
    .filter(({ index }) => series.accepted[index]! + series.failed[index]! > 0)
  return (
    <>
      <div ref={box} class="chart" aria-hidden="true" />
      <details>
        <summary class="small muted">As a table</summary>
        <div class="scroll chart-table" tabIndex={0} role="region" aria-label="Events over time">
          <table>
            <TableHead titles={['From', 'Accepted', 'Matched', 'Failed runs']} />
            <tbody>
              {rows.map(({ at, index }) => (
                <tr key={at}>
                  <td class="mono">{new Date(at * 1000).toLocaleString()}</td>
                  <td class="figure">{series.accepted[index]}</td>
                  <td class="figure">{series.matched[index]}</td>
                  <td class="figure">{series.failed[index]}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  )
}
