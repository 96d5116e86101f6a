// Every method of the contract.
import type { Handlers } from '../jsonrpc.ts'
import { botMethods } from './bot.ts'
import type { Context } from './context.ts'
import { eventMethods } from './event.ts'
import { explainMethods } from './explain.ts'
import { routerMethods } from './router.ts'
import { runMethods } from './run.ts'
import { sourceMethods } from './source.ts'
import { triggerMethods } from './trigger.ts'

export function allMethods(context: Context): Handlers {
  return {
    ...eventMethods(context),
    ...explainMethods(context),
    ...sourceMethods(context),
    ...triggerMethods(context),
    ...botMethods(context),
    ...runMethods(context),
    ...routerMethods(context),
  }
}
