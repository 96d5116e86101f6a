// The reasons for which a delivery is refused, in words of the router: what its sender wrote is not among them.
import { errorTable } from '../errors.ts'

export interface RefusalReason {
  title: string
  help: string
}

const secret = 'compare the secret of the source (signalbox sources show) with the one at the sender'
const sender = 'look at what the sender sends'
const later = 'the sender must send it again'

const reasons: Record<string, RefusalReason> = {
  E_SIGNATURE: {
    title: 'signature is missing or does not match',
    help: `${secret}, and the provider of the source with the sender`,
  },
  E_TOKEN: { title: 'token is missing or does not match', help: secret },
  E_TIMESTAMP: {
    title: 'signed time is too far from now',
    help: 'compare the clocks of this machine and of the sender',
  },
  E_RATE: {
    title: 'rate limit exceeded',
    help: "raise the source's rate_limit if so many deliveries are meant; after failed signatures correct the secret",
  },
  E_SOURCE_UNCONFIGURED: {
    title: "the source's secret cannot be read",
    help: 'signalbox doctor says why; put the file or the environment variable in place',
  },
  E_DISABLED: {
    title: 'the source is disabled',
    help: 'signalbox sources enable ID, or remove the webhook at the sender',
  },
  E_NOT_FOUND: {
    title: 'no webhook source at this path',
    help: 'compare the URL at the sender with the paths of signalbox sources',
  },
  E_METHOD_NOT_ALLOWED: { title: 'not a POST request', help: 'deliveries must be sent with POST' },
  E_TOO_LARGE: {
    title: 'the body is too large',
    help: 'raise max_body_bytes of the source or of the configuration if such bodies are meant',
  },
  E_MEDIA_TYPE: {
    title: 'the content type is not one that the provider sends',
    help: 'set application/json at the sender, or use another provider for the source',
  },
  E_ENCODING: { title: 'the body is compressed', help: 'switch compression off at the sender' },
  E_JSON: { title: 'the body is not JSON in UTF-8', help: `${sender}: it must be one JSON value` },
  E_JSON_LIMIT: {
    title: 'the JSON is nested too deep or has too many values',
    help: 'raise json_depth or json_tokens in the configuration if it is meant',
  },
  E_CLOUDEVENT: { title: 'not a valid CloudEvent', help: `${sender}: it must follow CloudEvents 1.0` },
  E_DELIVERY_ID: {
    title: 'the delivery id is invalid',
    help: 'it must be 1 to 256 visible ASCII characters',
  },
  E_KEY_REUSED: {
    title: 'the delivery id was used before with another body',
    help: 'the sender must give each event an id of its own',
  },
  E_SUBJECT: { title: 'the subject is too long', help: 'subjects have at most 1024 characters' },
  E_EVENT_TYPE: { title: 'the event type is too long', help: 'event types have at most 128 characters' },
  E_BACKLOG: {
    title: 'too many runs wait',
    help: `look at signalbox status for what blocks them, or raise max_open_runs; ${later}`,
  },
  E_BODIES: {
    title: 'too many large bodies at once',
    help: `raise max_inflight_body_bytes if this is meant; ${later}`,
  },
  E_STORAGE_FULL: { title: 'the disk is nearly full', help: `free some space; ${later}` },
  E_NOT_READY: { title: 'the storage failed', help: `look at the log of the router; ${later}` },
  E_TIMEOUT: {
    title: 'no answer in time',
    help: `the event may be stored; ${later} under the same delivery id`,
  },
  E_SHUTTING_DOWN: { title: 'the router was stopping', help: later },
  E_ABORTED: {
    title: 'the sender closed the connection early',
    help: 'look at the timeout of the sender and at proxies in between',
  },
  E_CONNECTIONS: {
    title: 'too many open connections',
    help: 'at most 256 are taken, 32 from one other machine: let the sender use fewer',
  },
  E_HTTP: { title: 'not a valid HTTP/1.1 request', help: `${sender}; TLS is not spoken here` },
  E_EXPECT: { title: 'the Expect header is not supported', help: 'only 100-continue is supported' },
  E_HEADERS: { title: 'too many headers', help: 'at most 100 headers are taken' },
  E_HEADER_DUPLICATE: {
    title: 'a header came twice',
    help: 'look at the sender and at proxies in between, which may add it',
  },
  E_PATH: {
    title: 'the path is not valid percent-encoding',
    help: 'compare the URL at the sender with the paths of signalbox sources',
  },
  E_URI_TOO_LONG: {
    title: 'the path is too long',
    help: 'compare the URL at the sender with the paths of signalbox sources',
  },
  E_INTERNAL: {
    title: 'a bug in the router',
    help: 'the log of the router has the details; please report it',
  },
}

/** The same code for requests that the HTTP parser refused, by status. */
const byStatus: Record<number, RefusalReason> = {
  408: {
    title: 'the request was not complete in time',
    help: 'headers must arrive within 10 s, the request within 30 s: look at the network and at the sender',
  },
  413: { title: 'the chunks of the body are not valid', help: sender },
  431: { title: 'the headers are too large', help: 'at most 16 KiB of headers are taken' },
}

const names = new Map(
  Object.entries(errorTable).map(([name, { title }]) => [`E_${name.toUpperCase()}`, title]),
)

/** A reason in words, and what to do about it. */
export function refusalReason(code: string, status: number | null): RefusalReason {
  const ofParser = code === 'E_HTTP' && status !== null ? byStatus[status] : undefined
  return (
    ofParser ??
    reasons[code] ?? {
      title: names.get(code)?.toLowerCase() ?? 'refused',
      help: 'the log of the router has the details',
    }
  )
}
