// What is around every screen: navigation, the state of the connection, the palette and the help.
import { signal, useComputed } from '@preact/signals'
import type { ComponentType, JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { Button, Empty, Lamp, Problem } from './parts/basic.tsx'
import { Confirms } from './parts/dialog.tsx'
import { useKeys } from './parts/keys.ts'
import { attempt, Toasts } from './parts/toast.tsx'
import { Help, Palette } from './palette.tsx'
import { go, href, segments } from './router.ts'
import { call, reachable } from './rpc.ts'
import { screens, type Screen, type ScreenProps } from './screens.ts'
import { logOut, session, theme, themes, utc } from './session.ts'
import { counts, readStatusSoon, status } from './status.ts'
import { live } from './stream/hub.ts'
import { bytes, duration } from './text.ts'

const loaded = signal<ReadonlyMap<string, ComponentType<ScreenProps>>>(new Map())
const failed = signal<unknown>(undefined)
const open = signal<'palette' | 'help' | undefined>(undefined)
const menuOpen = signal(false)

function loadScreen({ path, load }: Screen): void {
  failed.value = undefined
  load().then(
    module => (loaded.value = new Map(loaded.value).set(path, module.default)),
    (error: unknown) => (failed.value = error),
  )
}

function NavLinks(): JSX.Element {
  const current = segments.value[0] ?? screens[0]!.path
  return (
    <>
      {screens.map(({ path, title, badge, gap }) => {
        const shown = counts.value === undefined ? undefined : badge?.(counts.value)
        return (
          <>
            {gap === true ? <div class="nav-gap" /> : null}
            <a
              key={path}
              class="nav-link"
              href={href(path)}
              {...(path === current ? { 'aria-current': 'page' as const } : {})}
              onClick={() => (menuOpen.value = false)}
            >
              {title}
              {shown === undefined ? null : (
                <span class={`count ${shown.look === '' ? '' : `count-${shown.look}`}`}>{shown.text}</span>
              )}
            </a>
          </>
        )
      })}
    </>
  )
}

function NavFoot(): JSX.Element {
  const who = session.value
  return (
    <div class="nav-foot">
      {reachable.value && live.value ? (
        <Lamp kind="clear">live</Lamp>
      ) : (
        <Lamp kind="caution">{reachable.value ? 'connecting' : 'no answer'}</Lamp>
      )}
      {status.value === undefined ? null : (
        <span>
          {status.value.version} · up {duration(status.value.uptime_ms)} ·{' '}
          {bytes(status.value.store.database_bytes)}
        </span>
      )}
      <span>{who?.name ?? who?.principal}</span>
      <Button
        look="quiet"
        onClick={() => (theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length]!)}
      >
        Theme: {theme.value}
      </Button>
      <Button look="quiet" pressed={utc.value} onClick={() => (utc.value = !utc.value)}>
        Times in {utc.value ? 'UTC' : 'local time'}
      </Button>
      <Button look="quiet" onClick={() => (open.value = 'help')}>
        Keys (?)
      </Button>
      <Button look="quiet" onClick={() => void logOut()}>
        Log out
      </Button>
    </div>
  )
}

function Nav(): JSX.Element {
  return (
    <nav class={menuOpen.value ? 'nav nav-open' : 'nav'} aria-label="Screens">
      <a class="nav-name" href={href()}>
        <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">
          <path d="M2 14h6l5-9h3" fill="none" stroke="currentColor" stroke-width="2" />
          <circle cx="14" cy="5" r="3" fill="currentColor" class="lamp-clear" />
        </svg>
        Signalbox
      </a>
      <span class="nav-menu">
        <Button pressed={menuOpen.value} onClick={() => (menuOpen.value = !menuOpen.value)}>
          Menu
        </Button>
      </span>
      <div class="nav-links">
        <NavLinks />
      </div>
      <NavFoot />
    </nav>
  )
}

/** What concerns every screen: no answer, dispatching paused, the disk full. */
function Banners(): JSX.Element {
  const router = status.value
  const resume = (): void =>
    void attempt('dispatching resumed', () => call('router.resume', {})).then(readStatusSoon)
  return (
    <>
      {reachable.value ? null : (
        <p class="banner" role="status">
          <Lamp kind="caution">
            The router does not answer. What is shown is from before; the page tries again by itself.
          </Lamp>
        </p>
      )}
      {router?.paused === undefined ? null : (
        <div class="banner" role="status">
          <Lamp kind="held">Dispatching is paused: {router.paused}</Lamp>
          <Button scope="approve" onClick={resume}>
            Resume
          </Button>
        </div>
      )}
      {router?.store.full === true ? (
        <p class="banner" role="status">
          <Lamp kind="stop">The disk is full: the intake answers 507 and no event is taken in.</Lamp>
        </p>
      ) : null}
    </>
  )
}

function Current(): JSX.Element {
  const path = useComputed(() => segments.value[0] ?? screens[0]!.path)
  const screen = screens.find(each => each.path === path.value)
  const main = useRef<HTMLElement>(null)
  const address = segments.value.join('/')
  useEffect(() => {
    if (screen !== undefined)
      document.title = `${[screen.title, ...segments.value.slice(1)].join(' · ')} - Signalbox`
    // Screen readers and the keyboard go on at the new screen.
    if (document.querySelector('dialog[open]') === null) main.current?.focus({ preventScroll: true })
    if (main.current !== null) main.current.scrollTop = 0
  }, [address])
  const Shown = loaded.value.get(path.value)
  if (screen !== undefined && Shown === undefined && failed.value === undefined) loadScreen(screen)
  return (
    <main class="main" id="main" tabIndex={-1} ref={main}>
      <Banners />
      {screen === undefined ? (
        <Empty title={`There is no screen ${path.value}`}>
          <a href={href()}>Overview</a>
        </Empty>
      ) : Shown !== undefined ? (
        <Shown key={address} rest={segments.value.slice(1)} />
      ) : failed.value !== undefined ? (
        <Problem error={failed.value} again={() => loadScreen(screen)} />
      ) : null}
    </main>
  )
}

export function Frame(): JSX.Element {
  useKeys([
    { keys: 'mod k', what: 'search or run a command', act: () => (open.value = 'palette') },
    { keys: '?', what: 'these keys', act: () => (open.value = 'help') },
    {
      keys: '/',
      what: 'to the filter',
      act: () => document.querySelector<HTMLElement>('.filters input, .tree-search')?.focus(),
    },
    ...screens.map(({ path, title, key }) => ({ keys: `g ${key}`, what: title, act: () => go(href(path)) })),
  ])
  const close = (): void => void (open.value = undefined)
  return (
    <div class="frame">
      <a
        class="skip"
        href="#main"
        onClick={event => (event.preventDefault(), document.getElementById('main')?.focus())}
      >
        Skip the navigation
      </a>
      <Nav />
      <Current />
      <Toasts />
      <Confirms />
      {open.value === 'palette' ? <Palette close={close} /> : null}
      {open.value === 'help' ? <Help close={close} /> : null}
    </div>
  )
}
