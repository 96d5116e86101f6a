// Context files as callers give them.
import { contextFiles, type ContextFileBytes, type ContextFileGiven } from '../../context-files.ts'
import { Fault } from '../../errors.ts'

/** Context files in the form that the store keeps. Throws Fault invalid_params, with reason E_CONTEXT_NAME for an invalid name. */
export function givenContext(given: readonly ContextFileGiven[] | undefined): ContextFileBytes[] | undefined {
  if (given === undefined || given.length === 0) return undefined
  const checked = contextFiles(given)
  if ('files' in checked) return checked.files
  const { index, field, reason } = checked.refusal
  const path = ['context_files', index, field].filter(step => step !== undefined).join('.')
  const code = field === 'name' ? 'E_CONTEXT_NAME' : 'E_CONTEXT'
  throw new Fault('invalid_params', `${path} ${reason}; nothing was stored`, { reason: code, data: { path } })
}
