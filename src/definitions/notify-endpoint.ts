// Which fields of a notify endpoint each preset needs and takes. One flat schema has them all, so that tools that generate clients
// from the contract have one type; what belongs together is checked here.
import type { NotifyEndpoint } from '../contract/types.ts'
import { Fault } from '../errors.ts'

type Preset = NotifyEndpoint['preset']
type Field = Exclude<keyof NotifyEndpoint, 'kind' | 'preset'>

const common: readonly Field[] = ['title', 'text', 'priority', 'link', 'timeout_ms']

const fields: Record<Preset, { required: readonly Field[]; optional: readonly Field[] }> = {
  ntfy: { required: ['url', 'topic'], optional: ['token'] },
  gotify: { required: ['url', 'token'], optional: [] },
  matrix: { required: ['url', 'room', 'token'], optional: [] },
  slack: { required: [], optional: ['url', 'url_secret'] },
  smtp: { required: ['host', 'from', 'to'], optional: ['port', 'secure', 'user', 'password'] },
}

function refuse(path: string, problem: string): never {
  throw new Fault('invalid_params', `${path} ${problem}`, { data: { path } })
}

/** Throws Fault invalid_params for a field that the preset needs and does not have, or that it does not take. */
export function assertNotifyEndpoint(endpoint: NotifyEndpoint, at: string): void {
  const { preset } = endpoint
  const { required, optional } = fields[preset]
  const taken = new Set<string>(['kind', 'preset', ...required, ...optional, ...common])
  for (const field of required)
    if (endpoint[field] === undefined)
      refuse(`${at}.${field}`, `is required for the preset ${preset}; found nothing`)
  const foreign = Object.keys(endpoint).find(field => !taken.has(field))
  if (foreign !== undefined) {
    const expected = [...required, ...optional, ...common].join(', ')
    refuse(
      `${at}.${foreign}`,
      `does not belong to the preset ${preset}; expected ${expected}; found ${foreign}`,
    )
  }
  if (endpoint.password !== undefined && endpoint.secure === 'none')
    refuse(
      `${at}.password`,
      'must not be sent without encryption; expected secure: starttls or tls; found none',
    )
  if (preset === 'slack' && (endpoint.url === undefined) === (endpoint.url_secret === undefined)) {
    const found = endpoint.url === undefined ? 'neither' : 'both'
    refuse(
      `${at}.url`,
      `or url_secret is required for the preset slack, and exactly one of them; found ${found}`,
    )
  }
}
