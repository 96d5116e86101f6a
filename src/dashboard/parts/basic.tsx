// The small pieces that every screen is made of.
import type { ComponentChildren, JSX } from 'preact'
import { useId } from 'preact/hooks'
import type { Run, Scope } from '../../contract/types.ts'
import { now } from '../load.ts'
import { messageOf } from '../rpc.ts'
import { can, utc } from '../session.ts'
import { clock, duration, fullTime, oneLine } from '../text.ts'
import { lampOfRun, type LampKind } from './lamp-kind.ts'
import { toast } from './toast.tsx'

/** A state: its shape and colour, and the word beside it. */
export function Lamp({ kind, children }: { kind: LampKind; children: ComponentChildren }): JSX.Element {
  return <span class={`lamp lamp-${kind}`}>{children}</span>
}

export function RunLamp({ run }: { run: Pick<Run, 'state' | 'dead'> }): JSX.Element {
  const { kind, word } = lampOfRun(run)
  return <Lamp kind={kind}>{word}</Lamp>
}

/** A time of day; the whole time is its title, and what screen readers are given. */
export function Time({ at }: { at: number }): JSX.Element {
  const full = fullTime(at, utc.value)
  return (
    <time class="mono muted" dateTime={new Date(at).toISOString()} title={full}>
      {clock(at, Date.now(), utc.value)}
    </time>
  )
}

/** How long ago something was, or until it will be, counted on. */
export function Ago({ at }: { at: number }): JSX.Element {
  const ms = now.value - at
  return (
    <time class="figure" dateTime={new Date(at).toISOString()} title={fullTime(at, utc.value)}>
      {ms >= 0 ? `${duration(ms < 1000 ? 0 : ms)} ago` : `in ${duration(-ms)}`}
    </time>
  )
}

/** How long something that began then has taken, counted on. */
export function Since({ at, until }: { at: number; until?: number | undefined }): JSX.Element {
  return <span class="figure">{duration(Math.max(0, (until ?? now.value) - at))}</span>
}

/** Text of strangers on one line, with nothing hidden in it. */
export function Untrusted({ text, most }: { text: string; most?: number }): JSX.Element {
  return (
    <bdi class="untrusted" title={oneLine(text, 1000)}>
      {oneLine(text, most)}
    </bdi>
  )
}

/** The head of a screen: what it is about on the left, what can be done on the right. */
export function Head({
  title,
  children,
  actions,
}: {
  title: ComponentChildren
  children?: ComponentChildren
  actions?: ComponentChildren
}): JSX.Element {
  return (
    <header class="head">
      <h1>
        {title}
        {children === undefined ? null : <span class="head-more"> {children}</span>}
      </h1>
      <div class="actions">{actions}</div>
    </header>
  )
}

export function Card({
  title,
  more,
  children,
  class: own = '',
}: {
  title?: ComponentChildren
  more?: ComponentChildren
  children: ComponentChildren
  class?: string
}): JSX.Element {
  return (
    <section class={`card ${own}`}>
      {title === undefined ? null : (
        <div class="card-head">
          <h2>{title}</h2>
          {more}
        </div>
      )}
      {children}
    </section>
  )
}

/** Names and values. Entries without a value are left out. */
export function Facts({ of }: { of: [name: string, value: ComponentChildren][] }): JSX.Element {
  const given = of.filter(([, value]) => value !== undefined && value !== null && value !== false)
  return (
    <dl class="facts">
      {given.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** What a screen shows before there is anything: it teaches how there comes to be something. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  )
}

/** Why something could not be read or done. */
export function Problem({ error, again }: { error: unknown; again?: () => void }): JSX.Element {
  return (
    <div class="problem" role="alert">
      <Lamp kind="stop">{oneLine(messageOf(error), 600)}</Lamp>
      {again === undefined ? null : <Button onClick={again}>Try again</Button>}
    </div>
  )
}

interface ButtonProps {
  onClick: (event: MouseEvent) => void
  children: ComponentChildren
  /** primary: the one thing to do here; danger: what cannot be undone */
  look?: 'primary' | 'danger' | 'quiet'
  /** what the login needs; without it the button is disabled and says so */
  scope?: Scope
  disabled?: boolean
  title?: string
  label?: string
  pressed?: boolean
}

export function Button({
  onClick,
  children,
  look,
  scope,
  disabled = false,
  title,
  label,
  pressed,
}: ButtonProps): JSX.Element {
  const missing = scope !== undefined && !can(scope)
  return (
    <button
      type="button"
      class={`button ${look === undefined ? '' : `button-${look}`}`}
      disabled={disabled || missing}
      title={missing ? `your login does not have the scope ${scope}` : title}
      aria-label={label}
      aria-pressed={pressed}
      onClick={onClick}
    >
      {children}
    </button>
  )
}

/** Puts a text on the clipboard. Without a clipboard (plain HTTP) the text is shown, so that it can be copied by hand. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
    toast(`copied ${what}`)
  } catch {
    toast(`the browser does not allow copying; select it: ${text}`, 'caution')
  }
}

export function Copy({
  text,
  what,
  children,
}: {
  text: string
  what: string
  children?: ComponentChildren
}): JSX.Element {
  return (
    <Button
      look="quiet"
      title={text.length > 300 ? undefined : text}
      onClick={() => void copyText(text, what)}
    >
      {children ?? `Copy ${what}`}
    </Button>
  )
}

/** The command of the command line that does the same. */
export function CopyCommand({ command }: { command: string }): JSX.Element {
  return (
    <Copy text={command} what="command">
      Copy as command
    </Copy>
  )
}

export interface Tab {
  name: string
  title: ComponentChildren
}

/** Tabs; the arrow keys move between them. The panel is what follows, with the id of the result of useTabs. */
export function Tabs({
  tabs,
  chosen,
  choose,
  label,
}: {
  tabs: Tab[]
  chosen: string
  choose: (name: string) => void
  label: string
}): JSX.Element {
  const id = useId()
  const move = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    if (by === 0) return
    event.preventDefault()
    const at = tabs.findIndex(({ name }) => name === chosen)
    const next = tabs[(at + by + tabs.length) % tabs.length]!
    choose(next.name)
    document.getElementById(`${id}-${next.name}`)?.focus()
  }
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
      {tabs.map(({ name, title }) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`${id}-${name}`}
          aria-selected={name === chosen}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => choose(name)}
        >
          {title}
        </button>
      ))}
    </div>
  )
}

export function TabPanel({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="tab-panel" role="tabpanel" aria-label={label} tabIndex={0}>
      {children}
    </div>
  )
}

/** A field of a form. */
export function Field({
  label,
  hint,
  children,
}: {
  label: ComponentChildren
  hint?: ComponentChildren
  children: ComponentChildren
}): JSX.Element {
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      {children}
      {hint === undefined ? null : <span class="field-hint">{hint}</span>}
    </label>
  )
}

/** The head of a table. A column without a title has buttons. */
export function TableHead({ titles }: { titles: readonly string[] }): JSX.Element {
  return (
    <thead>
      <tr>
        {titles.map(title => (
          <th key={title}>{title === '' ? <span class="hidden-text">Actions</span> : title}</th>
        ))}
      </tr>
    </thead>
  )
}
