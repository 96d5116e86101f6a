// What the router asks of the machine that it runs on: the same rule where a start refuses and where doctor looks.

export const oldestNode = '24.18.1'

const mebibyte = 1024 * 1024

/** Whether a version is below another; both are numbers joined by dots, a part that is missing counts as 0. */
export function isOlder(found: string, than: string): boolean {
  const parts = found.split('.').map(Number)
  const differences = than.split('.').map((part, index) => (parts[index] ?? 0) - Number(part))
  return (differences.find(difference => difference !== 0) ?? 0) < 0
}

/** Bytes that stay free on a disk of that many: 5 %, at least 64 MiB, at most 1 GiB. */
export function usualReserve(diskBytes: number): number {
  return Math.max(64 * mebibyte, Math.min(diskBytes * 0.05, 1024 * mebibyte))
}
