// queue.*
import type { Queue, QueueInput } from '../../contract/types.ts'
import { Fault } from '../../errors.ts'
import type { Stamp } from '../../store/store.ts'
import type { Handlers } from '../jsonrpc.ts'
import type { Context } from './context.ts'
import { writeDefinitions } from './definition-writes.ts'
import { notFound } from './lookups.ts'
import { pageById } from './pages.ts'
import { shownRun } from './shown-run.ts'

const mostStuck = 50
const mostTries = 10
const unwritten: Stamp = { version: 0, created_at: 0, updated_at: 0 }

/** A definition without a pause leaves it unchanged: a new limit must not start what a person has stopped. */
function stillPaused(queue: QueueInput, present: QueueInput | undefined): QueueInput {
  if (queue.paused !== undefined || present?.paused !== true) return queue
  return {
    ...queue,
    paused: true,
    ...(present.paused_reason === undefined ? {} : { paused_reason: present.paused_reason }),
  }
}

type Counts = Map<string, { waiting: number; active: number }>

/** Throws Fault conflict for a queue that triggers use. */
function assertUnused({ registry }: Pick<Context, 'registry'>, queue_id: string): void {
  const users = [...registry.triggers.values()]
    .filter(trigger => trigger.policy.queue === queue_id)
    .map(trigger => trigger.id)
  if (users.length === 0) return
  const some = users.slice(0, 5).join(', ')
  throw new Fault(
    'conflict',
    `${users.length} triggers use queue ${queue_id} (${some}); change or delete them first`,
  )
}

function shown(queue: QueueInput & Stamp, counted: Counts): Queue {
  return { ...queue, paused: queue.paused ?? false, waiting: 0, active: 0, ...counted.get(queue.id) }
}

function inputOf({ version: _v, created_at: _c, updated_at: _u, ...input }: QueueInput & Stamp): QueueInput {
  return input
}

async function countsOf({ store }: Pick<Context, 'store'>): Promise<Counts> {
  return new Map((await store.queueCounts()).map(({ queue, ...count }) => [queue, count]))
}

/** The run at the head of an order that is stuck. Throws Fault not_found. */
async function stuckRun(
  { store }: Pick<Context, 'store'>,
  queue_id: string,
  order_key: string,
): Promise<string> {
  const all = await store.stuck(queue_id, Number.MAX_SAFE_INTEGER)
  const stuck = all.find(each => each.order_key === order_key)
  if (stuck !== undefined) return stuck.run_id
  throw new Fault(
    'not_found',
    `queue ${queue_id} has no stuck order key ${JSON.stringify(order_key)}; queue.get lists those that are`,
  )
}

export function queueMethods(context: Context): Pick<Handlers, `queue.${string}` & keyof Handlers> {
  const { registry, store, now, runs } = context

  const counts = (): Promise<Counts> => countsOf(context)

  /** A queue that was written, or that a bot or runs have by its name. Throws Fault not_found. */
  async function found(id: string): Promise<QueueInput & Stamp> {
    const written = registry.queues.get(id)
    if (written !== undefined) return written
    if (registry.bots.has(id) || (await counts()).has(id)) return { id, ...unwritten }
    throw notFound('queue', id, 'queue.list', [...registry.queues.keys(), ...registry.bots.keys()])
  }

  async function write(queue: QueueInput, version: number | undefined): Promise<{ queue: Queue }> {
    await writeDefinitions(context, [{ noun: 'queue', id: queue.id, definition: queue, version, at: now() }])
    return { queue: shown(registry.queues.get(queue.id)!, await counts()) }
  }

  /** Changes what is there, and looks again where others were faster. change answers undefined where there is nothing to do. */
  async function changed(
    id: string,
    change: (queue: QueueInput) => QueueInput | undefined,
  ): Promise<{ queue: Queue }> {
    for (let tries = 1; ; tries++) {
      const present = await found(id)
      const definition = change(inputOf(present))
      if (definition === undefined) return { queue: shown(present, await counts()) }
      try {
        return await write(definition, present.version)
      } catch (error) {
        if (!(error instanceof Fault) || error.fault !== 'conflict' || tries === mostTries) throw error
      }
    }
  }

  return {
    'queue.put': ({ queue, version }) => write(stillPaused(queue, registry.queues.get(queue.id)), version),
    async 'queue.get'({ queue_id }) {
      const queue = await found(queue_id)
      const stuck = await store.stuck(queue_id, mostStuck)
      const shownStuck = stuck.map(({ error, ...each }) => ({
        ...each,
        ...(error === null ? {} : { error }),
      }))
      return { queue: { ...shown(queue, await counts()), stuck: shownStuck } }
    },
    async 'queue.list'({ limit, cursor }) {
      const counted = await counts()
      const names = new Set(
        [...registry.queues.keys(), ...registry.bots.keys(), ...counted.keys()].filter(id => id !== ''),
      )
      const all = [...names].map(id => shown(registry.queues.get(id) ?? { id, ...unwritten }, counted))
      const { page, next_cursor } = pageById(all, limit, cursor)
      return { queues: page, ...(next_cursor === undefined ? {} : { next_cursor }) }
    },
    async 'queue.delete'({ queue_id, version }) {
      const queue = registry.queues.get(queue_id)
      if (queue === undefined) throw notFound('queue', queue_id, 'queue.list', registry.queues.keys())
      assertUnused(context, queue_id)
      await writeDefinitions(context, [
        { noun: 'queue', id: queue_id, definition: null, version: version ?? queue.version, at: now() },
      ])
      return { queue: shown(queue, new Map()) }
    },
    'queue.pause': ({ queue_id, reason }) =>
      changed(queue_id, ({ paused_reason: _, ...queue }) => ({
        ...queue,
        paused: true,
        ...(reason === undefined ? {} : { paused_reason: reason }),
      })),
    'queue.resume': ({ queue_id }) =>
      changed(queue_id, ({ paused_reason: _, paused, ...queue }) => (paused === true ? queue : undefined)),
    async 'queue.skip'({ queue_id, order_key }) {
      return { run: shownRun(context, await runs.skip(await stuckRun(context, queue_id, order_key))) }
    },
  }
}
