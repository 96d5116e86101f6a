// Results of cases as JUnit XML, which CI servers read.
import { plainXml } from '../terminal-text.ts'

export interface CaseResult {
  name: string
  file: string
  /** readable, several lines; undefined: it passed */
  failure?: string
  ms: number
}

/** Text as XML takes it: what XML 1.0 has no characters for becomes U+FFFD. */
function escaped(text: string): string {
  const xml = text
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\r', '&#13;')
  return plainXml(xml)
}

function element({ name, file, failure, ms }: CaseResult): string {
  const head = `    <testcase name="${escaped(name)}" classname="${escaped(file)}" time="${(ms / 1000).toFixed(3)}"`
  if (failure === undefined) return `${head}/>`
  const [first = ''] = failure.split('\n')
  return `${head}>\n      <failure message="${escaped(first)}">${escaped(failure)}</failure>\n    </testcase>`
}

/** One suite a file. */
export function junit(results: readonly CaseResult[]): string {
  const files = [...new Set(results.map(result => result.file))]
  const suites = files.map(file => {
    const own = results.filter(result => result.file === file)
    const failures = own.filter(result => result.failure !== undefined).length
    return `  <testsuite name="${escaped(file)}" tests="${own.length}" failures="${failures}">\n${own.map(element).join('\n')}\n  </testsuite>`
  })
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`
}
