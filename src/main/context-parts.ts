// Parts of the methods' context: checks of addresses, ways in, waits, what changes.
import type { Config } from '../contract/types.ts'
import type { DeliveryParts } from '../delivery/delivery.ts'
import { urlRefusal, type Egress } from '../outbound/egress.ts'
import { Fault } from '../errors.ts'
import type { Context } from '../api/methods/context.ts'
import { assertConstant } from '../api/methods/definition-writes.ts'
import { emitEvent } from '../intake/emitting.ts'
import { providers } from '../intake/webhooks/providers/all.ts'
import { RunChanges } from '../api/run-changes.ts'
import { RunWatch } from '../api/run-watch.ts'
import { Subscriptions } from '../api/subscriptions.ts'
import { Wakes } from '../api/stream.ts'
import type { Acceptor } from '../routing/accept.ts'
import { listenFor } from './callbacks.ts'
import type { Parts } from './parts.ts'

function urlCheck(egress: Egress): Context['assertUrl'] {
  return (url, at) => {
    const refusal = urlRefusal(url, egress)
    if (refusal !== undefined)
      throw new Fault('egress_blocked', `${at} ${refusal}`, {
        reason: 'E_EGRESS_BLOCKED',
        data: { path: at },
      })
  }
}

/** The host of a mail server is bound by the rules for hosts of URLs. */
function hostCheck(egress: Egress): Context['assertUrl'] {
  return (host, at) => urlCheck(egress)(`http://${host.includes(':') ? `[${host}]` : host}/`, at)
}

function endpointCheck(egress: Egress, { public_url }: Config): Context['assertEndpoint'] {
  return (endpoint, at) => {
    if ((endpoint.kind === 'http' || endpoint.kind === 'notify') && endpoint.url !== undefined)
      urlCheck(egress)(endpoint.url, `${at}.url`)
    if (endpoint.kind === 'notify' && endpoint.host !== undefined)
      hostCheck(egress)(endpoint.host, `${at}.host`)
    if (endpoint.kind === 'http' && endpoint.callback === true && public_url === undefined)
      throw new Fault(
        'invalid_params',
        `${at}.callback needs public_url in the configuration: the URL under which the bot reaches the admin listener`,
        {
          data: { path: `${at}.callback` },
        },
      )
    if (endpoint.kind === 'unix_rpc' && endpoint.preset === undefined && endpoint.method === undefined) {
      throw new Fault('invalid_params', `${at}.method is required where there is no preset`, {
        data: { path: `${at}.method` },
      })
    }
    if (endpoint.kind === 'command') assertConstant(endpoint.argv, `${at}.argv`)
  }
}

/** The calls that wait for the log to grow, and for runs to change. */
export function waits(
  store: Parts['store'],
  log: Parts['log'],
  wakes: Wakes,
): Pick<Context, 'subscriptions' | 'runSubscriptions' | 'changes' | 'watch'> {
  const [subscriptions, runSubscriptions] = [
    new Subscriptions('subscription', log.bug),
    new Subscriptions('run-subscription', log.bug),
  ]
  store.onLogged = () => {
    subscriptions.wake()
    wakes.wake()
  }
  const [watch, changes] = [new RunWatch(), new RunChanges()]
  store.onRunChange = ids => {
    watch.changed(ids)
    changes.add(ids)
    runSubscriptions.wake()
    wakes.wake()
  }
  return { subscriptions, runSubscriptions, changes, watch }
}

/** What methods ask of the ways in, which they do not import. */
export function waysIn(
  { config, store, registry, now, measures }: Parts,
  acceptor: Acceptor,
): Pick<Context, 'emit' | 'fire' | 'needsSecret'> {
  return {
    emit: event =>
      measures.timed('rpc', () =>
        emitEvent(event, { registry, store, acceptor, max_body_bytes: config.max_body_bytes, now }),
      ),
    fire: event => measures.timed('rpc', () => acceptor.acceptOne(event)),
    needsSecret: provider => providers[provider].needs_secret,
  }
}

export async function backedUp<T>({ measures, now }: Parts, backup: Promise<T>): Promise<T> {
  const made = await backup
  measures.lastBackup = now() / 1000
  return made
}

export async function pausing(
  store: Parts['store'],
  dispatcher: DeliveryParts['dispatcher'],
  reason: string | null,
  at: number,
): Promise<void> {
  await store.setPaused(reason, at)
  dispatcher.setPaused(reason)
}

export function checks({ egress, config }: Parts): Pick<Context, 'assertEndpoint' | 'assertUrl'> {
  return { assertEndpoint: endpointCheck(egress, config), assertUrl: urlCheck(egress) }
}

/** What bots and queues that are written mean for delivery. */
export function changes(
  { registry, log }: Parts,
  dispatcher: DeliveryParts['dispatcher'],
  availabilities: DeliveryParts['availabilities'],
  startAdmin: Context['startAdmin'],
): Pick<Context, 'botChanged' | 'botDeleted' | 'queuesChanged'> {
  return {
    botChanged: id => {
      dispatcher.forget(id)
      listenFor(registry.bots.get(id)!, startAdmin, log)
    },
    botDeleted: id => availabilities.forget(id),
    queuesChanged: () => dispatcher.wake([]),
  }
}
