// The filters of the events, which are the address. Saved ones are kept in the browser.
import { signal } from '@preact/signals'
import type { JSX } from 'preact'
import { settings } from '../kept.ts'
import { Button, Field } from '../parts/basic.tsx'
import { TextFilter } from '../parts/text-filter.tsx'
import { go, href, setQuery } from '../router.ts'
import { fields } from './selection.ts'

const key = 'saved-filters'

function readSaved(): string[] {
  try {
    const saved: unknown = JSON.parse(settings.get(key) ?? '[]')
    return Array.isArray(saved) ? saved.filter(each => typeof each === 'string') : []
  } catch {
    return []
  }
}

const saved = signal(readSaved())

function keep(all: string[]): void {
  saved.value = all
  settings.set(key, JSON.stringify(all))
}

const words = (query: string): string =>
  [...new URLSearchParams(query)].map(([name, value]) => `${name}: ${value}`).join(', ')

const hints: Record<keyof typeof fields, string> = {
  source: 'forge',
  type: 'push',
  subject: '',
  thread: 'acme/site#12',
  actor: 'ada',
  trigger: 'review',
}

export function Filters({ query }: { query: URLSearchParams }): JSX.Element {
  const text = query.toString()
  const isSaved = saved.value.includes(text)
  return (
    <search class="stack">
      <details class="filters-box" open={text !== '' || matchMedia('(min-width: 801px)').matches}>
        <summary class="button">Filter</summary>
        <div class="filters">
          {Object.entries(hints).map(([name, hint]) => (
            <TextFilter key={name} name={name} query={query} hint={hint} />
          ))}
          <Field label="Matched">
            <select
              value={query.get('matched') ?? ''}
              onChange={event => setQuery({ matched: event.currentTarget.value })}
            >
              <option value="">all</option>
              <option value="yes">started something</option>
              <option value="no">no match</option>
            </select>
          </Field>
          {text === '' ? null : <Button onClick={() => go(href('events'))}>Clear</Button>}
        </div>
      </details>
      <details
        open={['since', 'until', 'near', 'filter'].some(name => query.has(name)) || saved.value.length > 0}
      >
        <summary class="muted small">More filters, and saved ones</summary>
        <div class="filters">
          <TextFilter name="since" query={query} hint="2h, 7d or a date" />
          <TextFilter name="until" query={query} hint="2h, 7d or a date" />
          <TextFilter name="near" query={query} hint="trigger that nearly matched" />
          <TextFilter name="filter" query={query} hint='{"payload":{"action":["opened"]}}' />
          {text === '' || isSaved ? null : (
            <Button onClick={() => keep([...saved.value, text])}>Save this filter</Button>
          )}
        </div>
        <ul class="actions">
          {saved.value.map(each => (
            <li key={each}>
              <a class="button" href={`${href('events')}?${each}`}>
                {words(each)}
              </a>
              <Button
                look="quiet"
                label={`Forget the filter ${words(each)}`}
                onClick={() => keep(saved.value.filter(other => other !== each))}
              >
                forget
              </Button>
            </li>
          ))}
        </ul>
      </details>
    </search>
  )
}
