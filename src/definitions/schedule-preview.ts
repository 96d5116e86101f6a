// What a cron expression will do, for people: its next instants on the zone's own clock, and the expression in words.
import type { PreviewedTick } from '../contract/types.ts'
import { rest } from '../turns.ts'
import { isNamed, nextTick } from './schedule.ts'

const hourMs = 3_600_000
/** No zone moves its clock twice within so long. */
const nearMs = 3 * hourMs

function localParts(timezone: string): (at: number) => { text: string; offset: string } {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'longOffset',
  })
  return at => {
    const part = Object.fromEntries(
      format.formatToParts(at).map(({ type, value }) => [type, value]),
    ) as Record<Intl.DateTimeFormatPartTypes, string>
    const offset = part.timeZoneName.slice('GMT'.length)
    return {
      text: `${part.year.padStart(4, '0')}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}`,
      offset: offset === '' ? '+00:00' : offset,
    }
  }
}

function offsetMs(offset: string): number {
  const [hours = '0', minutes = '0', seconds = '0'] = offset.slice(1).split(':')
  return (
    (offset.startsWith('-') ? -1 : 1) * ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
  )
}

/** Instants after a time, so many at the most, with what daylight saving time does to them. Expression and zone have been checked. */
export async function previewed(
  expression: string,
  timezone: string,
  after: number,
  count: number,
): Promise<PreviewedTick[]> {
  const local = localParts(timezone)
  const shift = (from: number, to: number): number =>
    offsetMs(local(from).offset) - offsetMs(local(to).offset)
  const ticks: PreviewedTick[] = []
  for (
    let at = nextTick(expression, timezone, after);
    at !== null && ticks.length < count;
    at = nextTick(expression, timezone, at)
  ) {
    const pause = rest()
    if (pause !== undefined) await pause
    const { text, offset } = local(at)
    const tick: PreviewedTick = { at, local: `${text} ${offset}` }
    // A clock that is set back by so much afterwards, or before, shows this local time twice.
    const [ahead, behind] = [shift(at, at + nearMs), shift(at - nearMs, at)]
    if (!isNamed(expression, timezone, at)) tick.dst = 'after_gap'
    else if (ahead > 0 && local(at + ahead).text === text) tick.dst = 'first_of_two'
    else if (behind > 0 && local(at - behind).text === text) tick.dst = 'second_of_two'
    ticks.push(tick)
  }
  return ticks
}

/** An expression in words; undefined: it has none. */
export async function inWords(expression: string): Promise<string | undefined> {
  const { default: cronstrue } = await import('cronstrue')
  try {
    // Either day is enough where both are restricted; "and" would say something else.
    return cronstrue
      .toString(expression.trim(), { use24HourTimeFormat: true })
      .replace(', and on ', ', or on ')
  } catch {
    // It throws text for what it does not know, such as + before the weekday.
    return undefined
  }
}
