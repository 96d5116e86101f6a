// Files that are read by a name that a person or a configuration gives. The name may lead to anything: a FIFO would block
// the process for ever (opening one waits for a writer), a device may have no end, a directory has no bytes. So only
// regular files are read, opened without blocking, and only up to a limit. Errors are one sentence that names the path.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, statSync, type Stats } from 'node:fs'

/** Why a file cannot be read; the message names the path. code: that of the system, where there is one. */
export class FileError extends Error {
  readonly code: string | undefined

  constructor(message: string, code?: string) {
    super(message)
    this.code = code
  }
}

export interface ReadOptions {
  /** a larger file is refused */
  most_bytes: number
  /** false: a symlink is refused too. Default: true. */
  follow?: boolean
  /** Descriptors that the process was started with may be pipes: their writer is there. Default: false. */
  descriptors?: boolean
}

export interface PlainFile {
  bytes: Buffer
  stats: Stats
}

const meanings: Record<string, string> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is not a directory',
  ELOOP: 'its symlinks lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  ENXIO: 'it is a socket or a device that is gone',
  EEXIST: 'it exists',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many files are open',
  ERR_INVALID_ARG_VALUE: 'its name has a NUL character',
}

/** The error of a system call on a path as one sentence: "/x cannot be read (ELOOP): its symlinks lead in a circle". */
export function fileError(error: unknown, path: string, what = 'read'): FileError {
  if (error instanceof FileError) return error
  const { code = 'unknown error' } = error as NodeJS.ErrnoException
  const meaning = meanings[code]
  return new FileError(
    `${shownPath(path)} cannot be ${what} (${code})${meaning === undefined ? '' : `: ${meaning}`}`,
    code,
  )
}

/** A path in a message: one that is longer than any file system takes is cut. */
function shownPath(path: string): string {
  return path.length > 1024 ? `${path.slice(0, 200)}...` : path
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  if (stats.isSymbolicLink()) return 'a symlink'
  return stats.isFile() ? 'a regular file' : 'a device'
}

/** Throws FileError unless a path is that of a regular file. Nothing is opened. */
export function assertPlainFile(path: string): void {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch (error) {
    throw fileError(error, path)
  }
  if (!stats.isFile()) throw notPlain(path, stats)
}

/** Throws FileError unless a path is that of a directory, or of a symlink to one. */
export function assertDirectory(path: string): void {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch (error) {
    throw fileError(error, path, 'used')
  }
  if (!stats.isDirectory())
    throw new FileError(`${shownPath(path)} is ${kindOf(stats)}; a directory was expected`)
}

function notPlain(path: string, stats: Stats): FileError {
  return new FileError(`${shownPath(path)} is ${kindOf(stats)}; a regular file was expected`)
}

function tooLarge(path: string, found: string, most: number): FileError {
  return new FileError(`${shownPath(path)} has ${found} bytes; at most ${most} are read`)
}

/** The bytes of an open file up to a limit. Its size is only a hint: a file of /proc has none, and a log grows. */
function readUpTo(file: number, path: string, most: number): Buffer {
  const chunks: Buffer[] = []
  let bytes = 0
  for (;;) {
    const chunk = Buffer.allocUnsafe(65_536)
    const length = readSync(file, chunk)
    if (length === 0) return Buffer.concat(chunks)
    bytes += length
    if (bytes > most) throw tooLarge(path, `more than ${most}`, most)
    chunks.push(chunk.subarray(0, length))
  }
}

const descriptor = /^\/(dev|proc\/self)\/(fd\/\d+|stdin)$/

/** A regular file, whole. Throws FileError: for everything else, for a larger one, for one that cannot be read. */
export function readPlainFile(
  path: string,
  { most_bytes, follow = true, descriptors = false }: ReadOptions,
): PlainFile {
  const pipe = descriptors && descriptor.test(path)
  let file: number | undefined
  try {
    // Looked at first, because opening a device can do something; and again once it is open, because it may be another one.
    const before = follow ? statSync(path) : lstatSync(path)
    if (!before.isFile() && !(pipe && before.isFIFO())) throw notPlain(path, before)
    const flags = constants.O_RDONLY | (pipe ? 0 : constants.O_NONBLOCK) | (follow ? 0 : constants.O_NOFOLLOW)
    file = openSync(path, flags)
    const stats = fstatSync(file)
    if (!stats.isFile() && !(pipe && stats.isFIFO())) throw notPlain(path, stats)
    if (stats.size > most_bytes) throw tooLarge(path, String(stats.size), most_bytes)
    return { bytes: readUpTo(file, path, most_bytes), stats }
  } catch (error) {
    throw fileError(error, path)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
