// Dialogs: the browser's own, so that focus stays in them and Escape closes them.
import { signal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Button, Field } from './basic.tsx'

export function Dialog({
  title,
  close,
  children,
  class: own = '',
}: {
  title: string
  close: () => void
  children: ComponentChildren
  class?: string
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const before = document.activeElement
    dialog.current?.showModal()
    return () => (before as HTMLElement | null)?.focus()
  }, [])
  return (
    <dialog
      ref={dialog}
      class={`dialog ${own}`}
      aria-labelledby={id}
      onClose={close}
      onClick={event => {
        if (event.target === dialog.current) close()
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

interface Question {
  title: string
  /** what will happen */
  text: ComponentChildren
  /** what the button says */
  yes: string
  danger?: boolean
  /** asks for a reason; required: an empty one is not accepted */
  reason?: 'optional' | 'required'
  /** has to be typed before it is done */
  typed?: string
  answer: (reason: string | undefined) => void
}

const asked = signal<Question | undefined>(undefined)

/** Asks before something is done. then: called with the reason, where one was asked for */
export function confirm(
  question: Omit<Question, 'answer'>,
  then: (reason: string | undefined) => void,
): void {
  asked.value = { ...question, answer: then }
}

function Asking({ question }: { question: Question }): JSX.Element {
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const close = (): void => void (asked.value = undefined)
  const isReady =
    (question.reason !== 'required' || reason.trim() !== '') &&
    (question.typed === undefined || typed === question.typed)
  const submit = (event: Event): void => {
    event.preventDefault()
    if (!isReady) return
    close()
    question.answer(reason.trim() === '' ? undefined : reason.trim())
  }
  return (
    <Dialog title={question.title} close={close}>
      <form onSubmit={submit}>
        <div class="dialog-text">{question.text}</div>
        {question.reason === undefined ? null : (
          <Field label={question.reason === 'required' ? 'Reason' : 'Reason (optional)'}>
            <input value={reason} maxLength={500} onInput={event => setReason(event.currentTarget.value)} />
          </Field>
        )}
        {question.typed === undefined ? null : (
          <Field label={`Type ${question.typed} to confirm`}>
            <input value={typed} onInput={event => setTyped(event.currentTarget.value)} />
          </Field>
        )}
        <div class="dialog-actions">
          <Button onClick={close}>Cancel</Button>
          <button
            type="submit"
            class={`button ${question.danger === true ? 'button-danger' : 'button-primary'}`}
            disabled={!isReady}
          >
            {question.yes}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

/** Where questions are shown. */
export function Confirms(): JSX.Element | null {
  return asked.value === undefined ? null : <Asking question={asked.value} />
}
