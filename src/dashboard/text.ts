// Text for people: times, durations, sizes, and text of strangers with nothing hidden in it. Pure: no DOM.

/** Characters that are invisible, or that turn the order of others around. */
const hidden =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu

function symbolOf(character: string): string {
  const code = character.codePointAt(0)!
  if (code < 0x20) return String.fromCodePoint(0x2400 + code)
  return code === 0x7f ? '\u2421' : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`
}

/** A text with control and bidi characters as symbols. Tabs and line feeds stay. */
export function visible(text: string): string {
  return text.replace(hidden, symbolOf)
}

/** Like visible, on one line and at most so many characters. */
export function oneLine(text: string, most = 200): string {
  const line = visible(text).replace(/[\n\t]/g, character => (character === '\n' ? '\u240a' : ' '))
  return line.length > most ? `${line.slice(0, most - 1)}\u2026` : line
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const

/** 350 ms, 1.2 s, 2 min 14 s, 5 h 3 min, 12 d. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`
  const at = units.findIndex(([, size]) => ms >= size)
  const [name, size] = units[at]!
  const whole = Math.floor(ms / size)
  const next = units[at + 1]
  if (next === undefined || (name === 'd' && whole >= 3)) return `${whole} ${name}`
  const rest = Math.floor((ms % size) / next[1])
  return rest === 0 ? `${whole} ${name}` : `${whole} ${name} ${rest} ${next[0]}`
}

/** 512 B, 41 MiB. */
export function bytes(count: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, at] = [count, 0]
  while (value >= 1024 && at < names.length - 1) [value, at] = [value / 1024, at + 1]
  return `${at > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${names[at]}`
}

/** 1,234,567 */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** 1 run, 2 runs. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0')

/** 10:42:07, with the date in front where it is not that of now. utc: as Coordinated Universal Time */
export function clock(at: number, now: number, utc: boolean): string {
  const shifted = (time: number): Date =>
    new Date(utc ? time : time - new Date(time).getTimezoneOffset() * 60_000)
  const iso = shifted(at).toISOString()
  return iso.slice(0, 10) === shifted(now).toISOString().slice(0, 10)
    ? iso.slice(11, 19)
    : `${iso.slice(0, 10)} ${iso.slice(11, 19)}`
}

/** 2026-11-27 10:42:07.123 +01:00 */
export function fullTime(at: number, utc: boolean): string {
  const minutes = utc ? 0 : -new Date(at).getTimezoneOffset()
  const iso = new Date(at + minutes * 60_000).toISOString()
  const zone =
    minutes === 0
      ? 'UTC'
      : `${minutes < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)} ${zone}`
}

/** The last eight characters of an id: what the command line takes too. */
export function shortId(id: string): string {
  return id.slice(-8)
}

/** An argument for a shell. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

const lengths: Record<string, number> = { s: 1000, min: 60_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A time that a person wrote: a date, or how long ago (2h, 7d). Throws SyntaxError. name: of the field */
export function timeIn(text: string, name: string, now: number): number {
  const [, count, unit] = /^(\d+)\s*(s|min|m|h|d)$/.exec(text) ?? []
  const at = unit === undefined ? Date.parse(text) : now - Number(count) * lengths[unit]!
  if (Number.isNaN(at))
    throw new SyntaxError(
      `${name} must be a time such as 2026-11-27T10:00, or a length such as 2h or 7d; got ${JSON.stringify(oneLine(text, 40))}`,
    )
  return at
}
