// For tests of single calls, whose entries in the audit log do not matter.
import type { JsonrpcOptions } from '../../src/api/jsonrpc.ts'

export const noAudit: JsonrpcOptions['audit'] = { done: async () => undefined, failed: async () => undefined }
