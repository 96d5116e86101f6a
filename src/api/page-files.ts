// The page: files that scripts/build-page.ts made. They hold no data, so every client that can reach the listener may read them.
import { hash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Fault } from '../errors.ts'

const built = fileURLToPath(new URL('../../dist/page/', import.meta.url))

/** First segments of the addresses of screens; the page knows what is below them. */
const screens = new Set([
  'overview',
  'events',
  'refused',
  'triggers',
  'runs',
  'dead-letters',
  'approvals',
  'sources',
  'schedules',
  'bots',
  'queues',
  'storage',
  'settings',
])
const icons = new Set(['/favicon.ico', '/favicon.svg'])

const types: Record<string, string> = {
  css: 'text/css; charset=utf-8',
  ico: 'image/x-icon',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  png: 'image/png',
  svg: 'image/svg+xml',
  webmanifest: 'application/manifest+json',
  woff2: 'font/woff2',
}

interface File {
  type: string
  hash: string
  plain: Buffer
  br?: Buffer
  gz?: Buffer
}

interface Files {
  /** when the page was built: modification time of its index in milliseconds */
  at: number
  index: string
  by_name: ReadonlyMap<string, File>
}

interface Sending {
  method: string
  headers: PageRequest['headers']
  file: File
  /** Cache-Control */
  keep: string
}

export interface PageRequest {
  method: string
  path: string
  headers: ReadonlyMap<string, string>
}

/** Whether there is a part of the page at a path. */
export function isPagePath(path: string): boolean {
  return path === '/' || path.startsWith('/assets/') || icons.has(path) || screens.has(path.split('/')[1]!)
}

/** The root of the page as seen from a path: browsers resolve it, so a prefix that a proxy takes off needs not be known here. */
function rootFrom(path: string): string {
  return '../'.repeat(Math.max(0, path.split('/').length - 2)) || './'
}

function hashOf(content: Buffer): string {
  return hash('sha256', content).slice(0, 32)
}

/** Whether an Accept-Encoding header allows an encoding: br;q=0 forbids it. */
function accepts(header: string | undefined, name: string): boolean {
  const entries = (header ?? '').toLowerCase().split(',')
  return entries.some(entry => {
    const [coding, quality = ''] = entry.split(';').map(each => each.trim())
    return coding === name && !/^q\s*=\s*0(\.0*)?$/.test(quality)
  })
}

/** Whether an If-None-Match header names an ETag. The comparison is weak, because proxies that compress mark tags as W/. */
function isKnown(header: string | undefined, etag: string): boolean {
  const tags = (header ?? '').split(',').map(each => each.trim().replace(/^W\//, ''))
  return tags.includes(etag) || header?.trim() === '*'
}

async function readFiles(directory: string, at: number): Promise<Files> {
  const by_name = new Map<string, File>()
  const names = [...(await readdir(`${directory}assets`)).map(name => `assets/${name}`), 'favicon.svg']
  for (const name of names.filter(each => !/\.(br|gz)$/.test(each))) {
    const read = (ending: string): Promise<Buffer | undefined> =>
      names.includes(name + ending) ? readFile(directory + name + ending) : Promise.resolve(undefined)
    const [plain, br, gz] = await Promise.all([readFile(directory + name), read('.br'), read('.gz')])
    const type = types[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
    by_name.set(name, { type, hash: hashOf(plain), plain, ...(br && { br }), ...(gz && { gz }) })
  }
  return { at, index: await readFile(`${directory}index.html`, 'utf8'), by_name }
}

export class PageFiles {
  readonly #directory: string
  readonly #policy: Record<string, string>
  #files: Promise<Files> | undefined
  #at = 0

  /**
   * @param ancestors origins whose pages may show the page in a frame
   * @param directory ends with a slash
   */
  constructor(ancestors: readonly string[], directory: string = built) {
    this.#directory = directory
    const frames = ancestors.length === 0 ? "'none'" : ancestors.join(' ')
    this.#policy = {
      'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors ${frames}`,
      'cross-origin-opener-policy': 'same-origin',
      ...(ancestors.length === 0 ? { 'x-frame-options': 'DENY' } : {}),
    }
  }

  /** Answers a request for a path of the page. Throws Fault not_found, method_not_allowed. */
  async answer({ method, path, headers }: PageRequest, response: ServerResponse): Promise<void> {
    if (method !== 'GET' && method !== 'HEAD')
      throw new Fault('method_not_allowed', `${path} takes GET, HEAD; found ${method}`, {
        allow: 'GET, HEAD',
      })
    const { index, by_name } = await this.#read()
    const isIcon = icons.has(path)
    if (isIcon || path.startsWith('/assets/')) {
      const file = by_name.get(isIcon ? 'favicon.svg' : path.slice(1))
      if (file === undefined)
        throw new Fault(
          'not_found',
          'the page has no such file; reload the page, it may have been built again',
        )
      return this.#send(response, {
        method,
        headers,
        file,
        keep: isIcon ? 'public, max-age=86400' : 'public, max-age=31536000, immutable',
      })
    }
    for (const [name, value] of Object.entries(this.#policy)) response.setHeader(name, value)
    const plain = Buffer.from(index.replace('<base href="./"', `<base href="${rootFrom(path)}"`))
    return this.#send(response, {
      method,
      headers,
      file: { type: 'text/html; charset=utf-8', hash: hashOf(plain), plain },
      keep: 'no-cache',
    })
  }

  /** The files, read again when the page has been built again. */
  async #read(): Promise<Files> {
    try {
      const { mtimeMs } = await stat(`${this.#directory}index.html`)
      if (this.#files === undefined || this.#at !== mtimeMs) {
        this.#at = mtimeMs
        this.#files = readFiles(this.#directory, mtimeMs)
      }
      return await this.#files
    } catch (error) {
      this.#files = undefined
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new Fault(
        'not_found',
        'the page is not built; scripts/start builds it, and node scripts/build-page.ts shows why it cannot',
      )
    }
  }

  #send(response: ServerResponse, { method, headers, file, keep }: Sending): void {
    const accepted = headers.get('accept-encoding')
    const [encoding, body] =
      file.br && accepts(accepted, 'br')
        ? ['br', file.br]
        : file.gz && accepts(accepted, 'gzip')
          ? ['gzip', file.gz]
          : [undefined, file.plain]
    // A strong ETag names bytes, so each encoding has its own.
    const etag = encoding === undefined ? `"${file.hash}"` : `"${file.hash}-${encoding}"`
    response.setHeader('cache-control', keep)
    response.setHeader('etag', etag)
    response.setHeader('vary', 'accept-encoding')
    if (isKnown(headers.get('if-none-match'), etag)) {
      response.writeHead(304)
      return void response.end()
    }
    response.writeHead(200, {
      'content-type': file.type,
      'content-length': body.length,
      ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
    })
    response.end(method === 'HEAD' ? undefined : body)
  }
}
