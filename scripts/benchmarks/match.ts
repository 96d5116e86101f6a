// Matching: events a second on one thread, beside JSON.parse of the same bytes.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Matcher, type MatchEvent } from '../../src/routing/matcher.ts'
import { compilePattern } from '../../src/routing/pattern.ts'
import { median, ratio, table } from './measure.ts'

const folder = 'test/fixtures/gitea-webhooks'
const types = ['push', 'pull_request', 'issues', 'issue_comment', 'release']

function filters(count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, index) => {
    const type = types[index % types.length]!
    const repository = index % 97 === 0 ? 'acme/site' : `acme/repo-${index}`
    const more: Record<string, unknown>[] = [
      {},
      { ref: [{ prefix: 'refs/heads/' }] },
      { action: ['opened', 'closed'] },
      { sender: { login: [{ 'anything-but': ['renovate'] }] } },
      { number: [{ numeric: ['>', index % 100] }] },
    ]
    return {
      type: [type],
      payload: { repository: { full_name: [repository, { wildcard: `acme/*-${index}` }].slice(0, index % 3 === 0 ? 2 : 1) }, ...more[index % more.length] },
    }
  })
}

export async function benchMatch(): Promise<void> {
  const bodies = readdirSync(folder)
    .filter(name => name.endsWith('-event.json'))
    .map(name => readFileSync(join(folder, name)))
  const rate = (work: (body: Buffer, index: number) => void): number => {
    const rounds = Array.from({ length: 5 }, () => {
      const begun = performance.now()
      const total = 6000
      for (let index = 0; index < total; index++) work(bodies[index % bodies.length]!, index)
      return Math.round(total / ((performance.now() - begun) / 1000))
    })
    return median(rounds)
  }
  const parse = rate(body => void JSON.parse(body.toString('utf8')))
  const rows: string[][] = []
  for (const count of [1, 100, 10_000]) {
    const begun = performance.now()
    const matcher = new Matcher(filters(count).map((filter, target) => ({ source_id: null, pattern: compilePattern(filter), target })))
    const built = performance.now() - begun
    const matched = rate((body, index) => {
      const event: MatchEvent = {
        id: '',
        source_id: 'forge',
        type: types[index % types.length]!,
        subject: 'acme/site',
        timestamp: 0,
        headers: {},
        payload: JSON.parse(body.toString('utf8')),
      }
      matcher.match(event)
    })
    rows.push([String(count), String(matched), ratio(matched, parse), `${built.toFixed(0)} ms`])
  }
  table(`Parse and match, ${bodies.length} Forgejo payloads (JSON.parse alone: ${parse}/s)`, ['triggers', 'events/s', 'to JSON.parse', 'built in'], rows)
}
