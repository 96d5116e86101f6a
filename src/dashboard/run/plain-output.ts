// Output as a page can show it. Pure: no DOM.
import { visible } from '../text.ts'

/** ANSI sequences: colours, cursor moves, titles. */
// oxlint-disable-next-line no-control-regex
const ansi = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g

/** What a terminal would show of a text without its escape sequences; \r\n is a line feed, and a lone \r begins the line again. */
export function plainOutput(text: string): string {
  const lines = text.replaceAll(ansi, '').replaceAll('\r\n', '\n').split('\n')
  return visible(
    lines.map(line => line.slice(line.lastIndexOf('\r', line.length - 2) + 1).replace(/\r$/, '')).join('\n'),
  )
}
