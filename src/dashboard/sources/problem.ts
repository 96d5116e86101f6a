// Where a refused source is wrong: the path of the error, and the field of the form that it belongs to. Pure: no DOM.

/** What an error of source.put names. */
interface Refusal {
  message: string
  code: number
  data: Record<string, unknown>
}

export interface FieldProblem {
  /** below the source: config.secrets.0; '' where the error names none */
  path: string
  message: string
}

const conflict = -32009

/** id: of the source that was written as a new one */
export function problemOf({ message, code, data }: Refusal, id: string): FieldProblem {
  if (typeof data.path === 'string') return { path: data.path.replace(/^source\.?/, ''), message }
  // The version that is found means that there is one.
  if (code === conflict && data.found !== undefined)
    return { path: 'id', message: `a source ${id} exists already; choose another id, or change that one` }
  return { path: '', message }
}

/** The message for a field; undefined: it is not the one that is wrong. field: its path, config.secrets */
export function messageFor(problem: FieldProblem | undefined, field: string): string | undefined {
  if (problem === undefined) return undefined
  return problem.path === field || problem.path.startsWith(`${field}.`) ? problem.message : undefined
}
