// A second opinion on schedules, slow and independent: every minute of a span is looked at on the zone's own clock, which
// is asked of Intl, and held against the fields. Nothing is skipped and nothing is computed ahead.
const minuteMs = 60_000
const quarterMs = 15 * minuteMs
const names = [
  'sun',
  'mon',
  'tue',
  'wed',
  'thu',
  'fri',
  'sat',
  'jan',
  'feb',
  'mar',
  'apr',
  'may',
  'jun',
  'jul',
  'aug',
  'sep',
  'oct',
  'nov',
  'dec',
]

interface Local {
  year: number
  month: number
  day: number
  weekday: number
}

/** Offsets of a zone, looked up every quarter of an hour: no zone changes in between. */
export class ZoneTable {
  readonly #from: number
  readonly #offsets: number[] = []

  constructor(timezone: string, from: number, until: number) {
    this.#from = from
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    const read = (at: number): number => {
      const part = Object.fromEntries(
        format.formatToParts(at).map(({ type, value }) => [type, Number(value)]),
      )
      return Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute, part.second) - at
    }
    // Only where a day begins and ends differently is every quarter asked.
    const day = 96 * quarterMs
    for (let at = from; at < until; at += day) {
      const [first, last] = [read(at), read(at + day)]
      for (let quarter = 0; quarter < 96; quarter++)
        this.#offsets.push(first === last ? first : read(at + quarter * quarterMs))
    }
  }

  offset(at: number): number {
    return this.#offsets[Math.floor((at - this.#from) / quarterMs)]!
  }
}

function local(shown: number): Local {
  const date = new Date(shown)
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
  }
}

function number(text: string): number {
  const named = names.indexOf(text.toLowerCase())
  return named === -1 ? Number(text) : named < 7 ? named : named - 6
}

/** Lists, ranges, steps and stars. */
function plainField(field: string, value: number, low: number, high: number): boolean {
  return field.split(',').some(part => {
    const [span = '', step = '1'] = part.split('/')
    const [from, to] =
      span === '*' || span === '?'
        ? [low, high]
        : span.includes('-')
          ? span.split('-').map(number)
          : [number(span), number(span)]
    return value >= from! && value <= to! && (value - from!) % Number(step) === 0
  })
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate()
}

/** The working day nearest to a day of a month, within the month. */
function nearestWorkday(year: number, month: number, day: number): number {
  for (const distance of [0, -1, 1, -2, 2]) {
    const other = day + distance
    if (other < 1 || other > daysIn(year, month)) continue
    const weekday = new Date(Date.UTC(year, month - 1, other)).getUTCDay()
    if (weekday !== 0 && weekday !== 6) return other
  }
  return day
}

function dayField(field: string, { year, month, day }: Local): boolean {
  return field.split(',').some(part => {
    if (part === 'L') return day === daysIn(year, month)
    if (part.endsWith('W')) return day === nearestWorkday(year, month, Number(part.slice(0, -1)))
    return plainField(part, day, 1, 31)
  })
}

function weekdayField(field: string, { year, month, day, weekday }: Local): boolean {
  return field.split(',').some(part => {
    const [name = '', nth] = part.split('#')
    if (nth === undefined)
      return plainField(part, weekday, 0, 6) || (weekday === 0 && plainField(part, 7, 0, 7))
    if (number(name) % 7 !== weekday) return false
    return nth === 'L' ? day + 7 > daysIn(year, month) : Math.ceil(day / 7) === Number(nth)
  })
}

function isDay(days: string, months: string, weekdays: string, at: Local): boolean {
  if (!plainField(months, at.month, 1, 12)) return false
  if (weekdays.startsWith('+')) return dayField(days, at) && weekdayField(weekdays.slice(1), at)
  if (days === '*') return weekdayField(weekdays, at)
  return weekdays === '*' ? dayField(days, at) : dayField(days, at) || weekdayField(weekdays, at)
}

/** Every instant of a five-field expression in a span, in order. */
export function enumerated(expression: string, zone: ZoneTable, from: number, until: number): number[] {
  const [minutes = '', hours = '', days = '', months = '', weekdays = ''] = expression.split(/\s+/)
  const byRealTime = /[*?/]/.test(minutes + hours)
  const minuteNamed = Array.from({ length: 60 }, (_, minute) => plainField(minutes, minute, 0, 59))
  const hourNamed = Array.from({ length: 24 }, (_, hour) => plainField(hours, hour, 0, 23))
  const names = (shown: number): boolean => {
    const minute = Math.floor(shown / minuteMs)
    return (
      minuteNamed[minute % 60]! &&
      hourNamed[Math.floor(minute / 60) % 24]! &&
      isDay(days, months, weekdays, local(shown))
    )
  }
  const found: number[] = []
  const done = new Set<number>()
  let before = zone.offset(from)
  for (let at = from; at < until; at += minuteMs) {
    const offset = zone.offset(at)
    const named = names(at + offset)
    let wanted = named
    if (!byRealTime) {
      // What the clock left out just now is due now.
      for (let left = minuteMs; left <= offset - before && !wanted; left += minuteMs)
        wanted = names(at - left + offset)
      // What it shows again has been.
      if (named && done.has(at + offset)) wanted = false
      if (named) done.add(at + offset)
    }
    if (wanted) found.push(at)
    before = offset
  }
  return found
}
