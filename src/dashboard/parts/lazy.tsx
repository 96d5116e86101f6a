// A component whose code is loaded when it is shown first.
import { signal } from '@preact/signals'
import type { ComponentType, JSX } from 'preact'
import { Problem } from './basic.tsx'

/** load is tried again when it failed and the component is shown again. */
export function lazy<P extends object>(
  load: () => Promise<{ default: ComponentType<P> }>,
): (props: P) => JSX.Element | null {
  const loaded = signal<ComponentType<P> | undefined>(undefined)
  const failed = signal<unknown>(undefined)
  let isLoading = false
  const begin = (): void => {
    if (isLoading) return
    isLoading = true
    load()
      .then(module => (loaded.value = module.default))
      .catch((error: unknown) => {
        failed.value = error
        isLoading = false
      })
  }
  return function Lazy(props: P) {
    const Shown = loaded.value
    if (Shown !== undefined) return <Shown {...props} />
    if (failed.value !== undefined)
      return (
        <Problem
          error={failed.value}
          again={() => {
            failed.value = undefined
            begin()
          }}
        />
      )
    begin()
    return null
  }
}
