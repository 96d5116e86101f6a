// Which rows of a long list are in view. Pure: no DOM.

export interface View {
  first: number
  /** the one after the last */
  end: number
}

/** Rows in view, with some above and below so that fast scrolling shows no gaps. */
export function rowsInView(top: number, height: number, row: number, rows: number, more = 8): View {
  const first = Math.max(0, Math.floor(top / row) - more)
  return {
    first: Math.min(first, Math.max(0, rows - 1)),
    end: Math.min(rows, Math.ceil((top + height) / row) + more),
  }
}
