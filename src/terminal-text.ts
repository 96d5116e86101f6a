// What may reach a terminal. Texts of events, senders and bots can hold control sequences (ESC [ moves the cursor, C1 does
// so in one character), characters that turn the direction of a line around, and invisible characters. They are
// shown as escapes: in plain text and in JSON as \uXXXX, in XML as references, in YAML as in its double-quoted texts.

/** Controls, lone surrogates, bidirectional and invisible formatting. ZWJ and ZWNJ stay: emoji and Persian need them. */
const risky =
  /[\p{Cc}\p{Cs}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{feff}\u{e0000}-\u{e007f}]/gu

/** The same without what lays a text out in lines: line breaks and tabs. */
const riskyInLines = new RegExp(`(?![\\n\\t])${risky.source}`, 'u')
const everyRiskyInLines = new RegExp(riskyInLines.source, 'gu')

function codeUnits(character: string): string {
  return Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('')
}

/** Whether a text has anything that cannot be shown as it is; line breaks and tabs can. */
export function isRisky(text: string): boolean {
  return riskyInLines.test(text)
}

/** A text with escapes in place of what is risky; line breaks and tabs too, unless lines are kept. */
export function plain(text: string, keepLines = false): string {
  return keepLines ? text.replaceAll(everyRiskyInLines, codeUnits) : text.replaceAll(risky, codeUnits)
}

/** JSON text of the same meaning: risky characters are in strings only, except the line breaks of an indented text. */
export function plainJson(json: string): string {
  return plain(json, true)
}

/** XML text of the same meaning. */
export function plainXml(xml: string): string {
  return xml.replaceAll(everyRiskyInLines, character => `&#x${character.codePointAt(0)!.toString(16)};`)
}

/** YAML text of the same meaning, with risky characters in double-quoted scalars only. */
export function plainYaml(yaml: string): string {
  return yaml.replaceAll(everyRiskyInLines, character => {
    const code = character.codePointAt(0)!.toString(16)
    return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
  })
}

/** The colours that this program uses; no other sequence passes. */
const colours = /(\u001b\[(?:1|2|22|31|32|33|39)m)/

/** Lines for a terminal: colours pass, where there are any, and nothing else that is risky. */
export function plainLines(text: string, coloured: boolean): string {
  if (!isRisky(text)) return text
  if (!coloured) return plain(text, true)
  return text
    .split(colours)
    .map((part, index) => (index % 2 === 1 ? part : plain(part, true)))
    .join('')
}
