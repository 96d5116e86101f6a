// The screen without a login.
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { Lamp } from './parts/basic.tsx'
import { messageOf, reachable } from './rpc.ts'
import { logIn } from './session.ts'
import { oneLine } from './text.ts'

/** refused: why the link that the page was opened with is not accepted */
export function Login({ refused }: { refused: string | undefined }): JSX.Element {
  const problem = useSignal(refused)
  const code = useSignal('')
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      problem.value = await logIn(code.value)
    } catch (error) {
      problem.value = messageOf(error)
    }
  }
  return (
    <main class="login card">
      <h1>Log in to Signalbox</h1>
      {problem.value === undefined ? null : (
        <p role="alert">
          <Lamp kind="stop">{oneLine(problem.value, 300)}</Lamp>
        </p>
      )}
      {reachable.value ? null : <Lamp kind="caution">The router does not answer</Lamp>}
      <p>
        On the machine of the router run this command, and open the link that it prints. A link works once,
        for a minute.
      </p>
      <pre class="command">signalbox ui</pre>
      <form class="form" onSubmit={event => void submit(event)}>
        <label class="field">
          <span class="field-label">Or paste the link, or its code</span>
          <input
            autocomplete="off"
            spellcheck={false}
            onInput={event => (code.value = event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button button-primary" disabled={code.value.trim() === ''}>
          Log in
        </button>
      </form>
    </main>
  )
}
