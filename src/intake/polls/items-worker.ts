// The thread that makes items and numbers of large answers. JSON.parse of 4 MB takes up to a second where every number is
// kept as it was written, and nothing can interrupt it.
import { parentPort, type MessagePort } from 'node:worker_threads'
import type { PollConfig, WatchConfig } from '../../contract/types.ts'
import type { ExpressionAnswer, Expressions } from '../../routing/expressions.ts'
import { contextOf, itemsOf, numberOf, ReadingError, type Item, type ItemLimits } from './items.ts'

/** What is to be read of a text. */
export type ReadOrder =
  | { kind: 'items'; text: string; config: PollConfig; limits: ItemLimits }
  | { kind: 'number'; text: string; config: WatchConfig; limits: ItemLimits }
  | { kind: 'context'; text: string; limits: ItemLimits }

/** One order over a port of its own. */
export interface Ordered {
  order: ReadOrder
  port: MessagePort
}

/** What the thread says. After evaluate it waits for the answers, after part for a word that there is room. */
export type FromThread =
  | { kind: 'evaluate'; sources: string[]; scope: string }
  | { kind: 'part'; items: Item[] }
  | { kind: 'done'; value: unknown }
  | { kind: 'refused'; message: string }
  | { kind: 'bug'; message: string }

/** Items that are handed over together: receiving them takes some 2 ms. */
const partSize = 1000

/** Asks the other end something and waits for what it says. */
function asked(port: MessagePort, message: FromThread): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  port.once('message', resolve)
  port.postMessage(message)
  return promise
}

/** Expressions are evaluated where they always are: in their own process, which the router's thread talks to. */
function expressionsOver(port: MessagePort): Pick<Expressions, 'evaluate'> {
  return {
    evaluate: async (sources, scope) =>
      (await asked(port, { kind: 'evaluate', sources, scope: JSON.stringify(scope) })) as ExpressionAnswer[],
  }
}

async function answer(order: ReadOrder, port: MessagePort): Promise<unknown> {
  if (order.kind === 'context') return contextOf(order.text, order.limits)
  const expressions = expressionsOver(port)
  if (order.kind === 'number') return numberOf(order.text, order.config, order.limits, expressions)
  const { items, problems } = await itemsOf(order.text, order.config, order.limits, expressions)
  for (let from = 0; from < items.length; from += partSize)
    await asked(port, { kind: 'part', items: items.slice(from, from + partSize) })
  return { problems }
}

parentPort!.on('message', ({ order, port }: Ordered) => {
  const say = (message: FromThread): void => port.postMessage(message)
  answer(order, port)
    .then(
      value => say({ kind: 'done', value }),
      (error: Error) =>
        say({ kind: error instanceof ReadingError ? 'refused' : 'bug', message: error.message }),
    )
    .finally(() => port.close())
})
