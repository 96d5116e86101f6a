// Every method of the contract.
import type { Handlers } from '../jsonrpc.ts'
import { applyMethods } from './apply.ts'
import { backtestMethods } from './backtest.ts'
import { botMethods } from './bot.ts'
import type { Context } from './context.ts'
import { deadMethods } from './dead.ts'
import { dispatchMethods } from './dispatch.ts'
import { emitMethods } from './emit.ts'
import { eventMethods } from './event.ts'
import { explainMethods } from './explain.ts'
import { refusedMethods } from './refused.ts'
import { outputMethods } from './output.ts'
import { queueMethods } from './queue.ts'
import { replayMethods } from './replay.ts'
import { routerMethods } from './router.ts'
import { runMethods } from './run.ts'
import { runRequestMethods } from './run-request.ts'
import { runPreviewMethods } from './run-preview.ts'
import { runUpdateMethods } from './run-update.ts'
import { scheduleMethods } from './schedule.ts'
import { sourceMethods } from './source.ts'
import { statsMethods } from './stats.ts'
import { subscribeMethods } from './subscribe.ts'
import { workerMethods } from './worker.ts'
import { loginMethods, tokenMethods } from './token.ts'
import { triggerTestMethods } from './trigger-test.ts'
import { triggerPauseMethods } from './trigger-pause.ts'
import { triggerMethods } from './trigger.ts'

export function allMethods(context: Context): Handlers {
  return {
    ...emitMethods(context),
    ...dispatchMethods(context),
    ...eventMethods(context),
    ...refusedMethods(context),
    ...explainMethods(context),
    ...subscribeMethods(context),
    ...replayMethods(context),
    ...sourceMethods(context),
    ...scheduleMethods(context),
    ...triggerMethods(context),
    ...triggerPauseMethods(context),
    ...triggerTestMethods(context),
    ...backtestMethods(context),
    ...botMethods(context),
    ...queueMethods(context),
    ...runMethods(context),
    ...runPreviewMethods(context),
    ...runRequestMethods(context),
    ...runUpdateMethods(context),
    ...outputMethods(context),
    ...deadMethods(context),
    ...statsMethods(context),
    ...workerMethods(context),
    ...routerMethods(context),
    ...applyMethods(context),
    ...tokenMethods(context),
    ...loginMethods(context),
  }
}
