// The address is the state: which screen, of what, with which filters.
import { computed, signal } from '@preact/signals'
import { root } from './rpc.ts'

export interface Place {
  /** segments below the root, decoded: ['events', '0198…'] */
  segments: string[]
  query: URLSearchParams
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function here(): Place {
  const below = location.pathname.startsWith(root.pathname)
    ? location.pathname.slice(root.pathname.length)
    : ''
  return {
    segments: below.split('/').filter(Boolean).map(decoded),
    query: new URLSearchParams(location.search),
  }
}

export const place = signal<Place>(here())
export const segments = computed(() => place.value.segments)

/** The address of a screen: href('events', id), href('runs', {state: 'failed'}). Empty values are left out. */
export function href(...parts: (string | Record<string, string | undefined>)[]): string {
  const path = parts
    .filter(each => typeof each === 'string')
    .map(encodeURIComponent)
    .join('/')
  const query = new URLSearchParams()
  for (const part of parts)
    if (typeof part !== 'string')
      for (const [name, value] of Object.entries(part))
        if (value !== undefined && value !== '') query.set(name, value)
  return root.pathname + path + (query.size > 0 ? `?${query}` : '')
}

let guard: ((leave: () => void) => boolean) | undefined

/**
 * Asks before another screen is opened.
 * @param holdsBack whether the screen is to stay for now; it calls leave once it may be left
 * @returns what ends the asking
 */
export function guardLeaving(holdsBack: (leave: () => void) => boolean): () => void {
  guard = holdsBack
  return () => {
    if (guard === holdsBack) guard = undefined
  }
}

/** Whether the screen is not left yet; then: what is done once it may be */
function isHeldBack(then: () => void): boolean {
  const asked = guard
  return (
    asked?.(() => {
      if (guard === asked) guard = undefined
      then()
    }) === true
  )
}

/** Opens a screen. replace: without a new entry in the browser's history */
export function go(address: string, replace = false): void {
  if (address === location.pathname + location.search) return
  if (!replace && isHeldBack(() => go(address))) return
  history[replace ? 'replaceState' : 'pushState'](null, '', address)
  place.value = here()
  if (!replace) scrollTo(0, 0)
}

/** Changes parts of the query; an empty value takes its name out. */
export function setQuery(changes: Record<string, string | undefined>): void {
  const now = Object.fromEntries(place.value.query)
  go(href(...place.value.segments, { ...now, ...changes }), true)
}

/** Takes over clicks on links to screens. Modified clicks and other links are the browser's. */
export function startRouter(): void {
  addEventListener('popstate', () => {
    const [wanted, { segments, query }] = [location.pathname + location.search, place.value]
    if (isHeldBack(() => go(wanted)))
      history.pushState(null, '', href(...segments, Object.fromEntries(query)))
    else place.value = here()
  })
  document.addEventListener('click', event => {
    const link = (event.target as Element).closest('a')
    if (
      link === null ||
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return
    if (
      link.target !== '' ||
      link.hasAttribute('download') ||
      link.origin !== location.origin ||
      !link.pathname.startsWith(root.pathname)
    )
      return
    event.preventDefault()
    go(link.pathname + link.search)
  })
}
