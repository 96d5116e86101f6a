// Every screen: its address, its name in the navigation, and the code that is loaded when it is opened first.
import type { ComponentType } from 'preact'
import type { RunCounts } from '../contract/types.ts'

export interface ScreenProps {
  /** the segments after the first: ['0198…'] of /events/0198… */
  rest: string[]
}

export interface Screen {
  /** first segment of the address */
  path: string
  title: string
  /** what g and then a letter opens */
  key: string
  load: () => Promise<{ default: ComponentType<ScreenProps> }>
  /** Of the navigation's number beside the name. Default: none */
  badge?: (counts: Counts) => { text: string; look: '' | 'hot' | 'bad' } | undefined
  /** A gap stands before it in the navigation. */
  gap?: boolean
}

export interface Counts {
  runs: RunCounts
  approvals: number
  refused: number
}

/** Numbers above 99 are not counted for the navigation. */
const number = (
  value: number,
  look: '' | 'hot' | 'bad',
): { text: string; look: '' | 'hot' | 'bad' } | undefined =>
  value === 0 ? undefined : { text: value > 99 ? '99+' : String(value), look }

export const screens: readonly Screen[] = [
  { path: 'overview', title: 'Overview', key: 'o', load: () => import('./overview/screen.tsx') },
  { path: 'events', title: 'Events', key: 'e', load: () => import('./events/screen.tsx') },
  {
    path: 'refused',
    title: 'Refused',
    key: 'f',
    load: () => import('./refused/screen.tsx'),
    badge: ({ refused }) => number(refused, ''),
  },
  {
    path: 'runs',
    title: 'Runs',
    key: 'r',
    load: () => import('./runs/screen.tsx'),
    badge: ({ runs }) => (runs.running === 0 ? undefined : { text: `${runs.running} live`, look: '' }),
  },
  {
    path: 'approvals',
    title: 'Approvals',
    key: 'a',
    load: () => import('./approvals/screen.tsx'),
    badge: ({ approvals }) => number(approvals, 'hot'),
  },
  {
    path: 'dead-letters',
    title: 'Dead letters',
    key: 'd',
    load: () => import('./dead-letters/screen.tsx'),
    badge: ({ runs }) => number(runs.dead, 'bad'),
  },
  { path: 'triggers', title: 'Triggers', key: 't', load: () => import('./triggers/screen.tsx'), gap: true },
  { path: 'sources', title: 'Sources', key: 's', load: () => import('./sources/screen.tsx') },
  { path: 'schedules', title: 'Schedules', key: 'c', load: () => import('./schedules/screen.tsx') },
  { path: 'bots', title: 'Bots & queues', key: 'b', load: () => import('./bots/screen.tsx') },
  {
    path: 'settings',
    title: 'Storage & settings',
    key: 'x',
    load: () => import('./settings/screen.tsx'),
    gap: true,
  },
]
