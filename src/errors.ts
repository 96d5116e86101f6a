// Every expected failure that leaves the router, in one table: its name, its JSON-RPC code, its HTTP status.

export const errorTable = {
  parse_error: { code: -32700, status: 400, title: 'Parse error' },
  invalid_request: { code: -32600, status: 400, title: 'Invalid request' },
  method_not_found: { code: -32601, status: 404, title: 'Method not found' },
  invalid_params: { code: -32602, status: 422, title: 'Invalid params' },
  internal: { code: -32603, status: 500, title: 'Internal error' },
  unauthorized: { code: -32001, status: 401, title: 'Unauthorized' },
  not_found: { code: -32002, status: 404, title: 'Not found' },
  lease_lost: { code: -32003, status: 409, title: 'Lease lost' },
  too_large: { code: -32004, status: 413, title: 'Too large' },
  rate_limited: { code: -32005, status: 429, title: 'Rate limited' },
  overloaded: { code: -32005, status: 503, title: 'Overloaded' },
  storage_full: { code: -32006, status: 507, title: 'Storage full' },
  not_ready: { code: -32007, status: 503, title: 'Not ready or storage failed' },
  key_reused: { code: -32008, status: 422, title: 'Key reused with another body' },
  conflict: { code: -32009, status: 409, title: 'Conflict' },
  shutting_down: { code: -32010, status: 503, title: 'Shutting down' },
  egress_blocked: { code: -32011, status: 422, title: 'Egress blocked' },
  disabled: { code: -32012, status: 409, title: 'Disabled' },
  invalid_state: { code: -32013, status: 409, title: 'Not possible in this state' },
  loop: { code: -32014, status: 422, title: 'Loop' },
  forbidden: { code: -32015, status: 403, title: 'Forbidden' },
  // What only HTTP can meet.
  bad_request: { code: -32600, status: 400, title: 'Bad request' },
  method_not_allowed: { code: -32601, status: 405, title: 'Method not allowed' },
  uri_too_long: { code: -32600, status: 414, title: 'URI too long' },
  headers_too_large: { code: -32600, status: 431, title: 'Request header fields too large' },
  unsupported_media_type: { code: -32600, status: 415, title: 'Unsupported media type' },
} as const

export type ErrorName = keyof typeof errorTable

export interface FaultOptions {
  /** A narrower code for programs, such as E_SIGNATURE. */
  reason?: string
  /** Structured detail, answered as JSON-RPC data. */
  data?: Record<string, unknown>
  /** The HTTP methods that would do, for the Allow header. */
  allow?: string
  /** Seconds after which trying again may help. */
  retryAfterS?: number
}

/**
 * An expected failure on its way to the caller. Its message says what was expected, what was found and what to
 * do; it never holds a secret. Any other Error that reaches an interface is a bug.
 */
export class Fault extends Error {
  readonly fault: ErrorName
  readonly reason: string
  readonly data: Record<string, unknown> | undefined
  readonly retryAfterS: number | undefined
  readonly allow: string | undefined

  constructor(fault: ErrorName, message: string, options: FaultOptions = {}) {
    super(message)
    this.name = 'Fault'
    this.fault = fault
    this.reason = options.reason ?? `E_${fault.toUpperCase()}`
    this.data = options.data
    this.retryAfterS = options.retryAfterS
    this.allow = options.allow
  }

  get code(): number {
    return errorTable[this.fault].code
  }

  get status(): number {
    return errorTable[this.fault].status
  }
}

/** Any error as a Fault. An error that is not a Fault is a bug: its details are not part of the answer. */
export function asFault(error: unknown): Fault {
  return error instanceof Fault
    ? error
    : new Fault('internal', 'this is a bug in the router; its log has the details')
}

export const damagedCode = 'E_DAMAGED'

/** What was asked for is stored, but damaged: reading it again will not help. Its message names table, column and row. */
export class DamagedError extends Fault {
  /** table, column and row, and what is wrong with it */
  readonly what: string

  constructor(what: string) {
    super('not_found', `${what}; signalbox verify shows all damage`, { reason: damagedCode })
    this.name = 'DamagedError'
    this.what = what
  }
}

/** Exit codes, after sysexits.h. */
export const exitCodes = {
  ok: 0,
  no: 1,
  usage: 64,
  dataDamaged: 65,
  internal: 70,
  cannotCreateSocket: 73,
  ioError: 74,
  alreadyRunning: 75,
  permissions: 77,
  configuration: 78,
} as const

/** A reason not to start, or to stop at once, with the exit code that says which kind. */
export class ExitError extends Error {
  readonly exitCode: number

  constructor(exitCode: number, message: string) {
    super(message)
    this.name = 'ExitError'
    this.exitCode = exitCode
  }
}
