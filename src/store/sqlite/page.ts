// Pages that are bounded by bytes as well as by rows.

/** Bytes of a column: of a damaged one, too. */
export function columnBytes(value: unknown): number {
  return typeof value === 'string' || value instanceof Buffer ? value.length : 0
}

/**
 * Maps rows one by one as they are read, so that what is large in them is not kept. Ends with the row that makes the page as
 * large as so many bytes: a caller that sees a smaller one knows that there was no other row.
 */
export function boundedPage<R, T>(
  rows: Iterable<R>,
  most: number | undefined,
  bytesOf: (row: R) => number,
  map: (row: R) => T,
): T[] {
  const page: T[] = []
  let bytes = 0
  for (const row of rows) {
    page.push(map(row))
    bytes += bytesOf(row)
    if (bytes >= (most ?? Infinity)) break
  }
  return page
}
