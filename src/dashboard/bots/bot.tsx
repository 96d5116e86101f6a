// One bot: how it is reached, how it is, and what it has.
import type { JSX } from 'preact'
import type { Bot, BudgetUse, RouterStatsResult } from '../../contract/types.ts'
import { useCall } from '../load.ts'
import { Ago, Button, Card, CopyCommand, Facts, Head, Lamp, Problem } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { Tree } from '../parts/tree.tsx'
import { href } from '../router.ts'
import { call } from '../rpc.ts'
import { count, duration, oneLine, shellQuote } from '../text.ts'
import { QueueLanes } from './queue.tsx'

export function BotLamp({ bot: { enabled, health, drained, availability } }: { bot: Bot }): JSX.Element {
  if (!enabled) return <Lamp kind="miss">disabled</Lamp>
  if (health?.state === 'open') return <Lamp kind="stop">circuit breaker open</Lamp>
  if (health?.state === 'half_open') return <Lamp kind="caution">trying again</Lamp>
  if (drained === true) return <Lamp kind="held">drained</Lamp>
  if (availability !== undefined && availability !== 'ready')
    return <Lamp kind="caution">{availability}</Lamp>
  return <Lamp kind="clear">ready</Lamp>
}

function Budgets({ budgets }: { budgets: readonly BudgetUse[] }): JSX.Element {
  return (
    <Card title="Budgets">
      {budgets.map(({ per, figure, used, limit, period_ms }) => (
        <label key={`${per} ${figure} ${period_ms}`} class="field">
          <span>
            {figure.replaceAll('_', ' ')} per {per} in {duration(period_ms)}: {count(used)} of {count(limit)}
          </span>
          <progress max={limit} value={used} />
        </label>
      ))}
    </Card>
  )
}

type Stat = RouterStatsResult['bots'][number]

/** What the bot does now, and what it has done. */
function State({ bot, stat }: { bot: Bot; stat: Stat | undefined }): JSX.Element {
  const { health, usage } = { ...bot, usage: stat?.usage }
  return (
    <Card title="State">
      <Facts
        of={[
          ['running', `${bot.active ?? 0} of ${bot.max_active}`],
          ['waiting', stat === undefined ? undefined : count(stat.waiting)],
          ['completed', stat === undefined ? undefined : `${count(stat.done)} in 24 h`],
          [
            'dead letters',
            stat === undefined || stat.dead === 0 ? undefined : (
              <a href={href('dead-letters')}>{count(stat.dead)}</a>
            ),
          ],
          [
            'breaker',
            health === undefined
              ? undefined
              : `${health.state.replaceAll('_', ' ')}, ${count(health.consecutive_failures)} failures in a row`,
          ],
          ['tries again', health?.open_until === undefined ? undefined : <Ago at={health.open_until} />],
          [
            'available',
            bot.availability === undefined
              ? undefined
              : `${bot.availability}${bot.availability_reason === undefined ? '' : `: ${oneLine(bot.availability_reason)}`}`,
          ],
          ['drained', bot.drained_reason === undefined ? undefined : oneLine(bot.drained_reason)],
          ['disabled', bot.disabled_reason === undefined ? undefined : oneLine(bot.disabled_reason)],
          ['last heard', bot.last_heard_at === undefined ? undefined : <Ago at={bot.last_heard_at} />],
          [
            'takes',
            stat?.finish === undefined
              ? undefined
              : `${duration(stat.finish.average_ms)} on average, 95 % at most ${duration(stat.finish.p95_ms)}`,
          ],
          [
            'used',
            usage === undefined
              ? undefined
              : `${count(usage.input_tokens + usage.output_tokens)} tokens, ${usage.cost_usd.toFixed(2)} USD in 24 h`,
          ],
          ['capabilities', bot.capabilities?.join(', ')],
          ['tools', bot.tools?.join(', ')],
        ]}
      />
    </Card>
  )
}

export function BotScreen({ id }: { id: string }): JSX.Element {
  const options = { on: ({ kind }: { kind: string }) => kind === 'run', every: 15_000 }
  const read = useCall('bot.get', { bot_id: id }, options)
  const stats = useCall('router.stats', {}, options)
  const bot = read.value.value?.bot
  if (bot === undefined)
    return read.value.error === undefined ? (
      <p class="muted">reading …</p>
    ) : (
      <Problem error={read.value.error} again={read.again} />
    )
  const stat = stats.value.value?.bots.find(each => each.id === id)
  const act = (what: string, doIt: () => Promise<unknown>): void => void attempt(what, doIt).then(read.again)
  const drain = (): void =>
    confirm(
      {
        title: `Drain ${id}?`,
        text: 'It is given no new runs; those that it has go on.',
        yes: 'Drain',
        reason: 'optional',
      },
      reason =>
        act('drained', () => call('bot.drain', { bot_id: id, ...(reason === undefined ? {} : { reason }) })),
    )
  const { endpoint, drained } = bot
  return (
    <>
      <Head
        title={id}
        actions={
          <>
            {endpoint.kind === 'notify' ? (
              <Button
                scope="operate"
                onClick={() => act('test message sent', () => call('bot.notify_test', { bot_id: id }))}
              >
                Send a test message
              </Button>
            ) : null}
            {drained === true ? (
              <Button
                scope="operate"
                onClick={() => act('takes runs again', () => call('bot.undrain', { bot_id: id }))}
              >
                Undrain
              </Button>
            ) : (
              <Button scope="operate" onClick={drain}>
                Drain
              </Button>
            )}
            <a class="button" href={href('runs', { bot: id })}>
              Runs
            </a>
            <CopyCommand command={`signalbox bots show ${shellQuote(id)}`} />
          </>
        }
      >
        {endpoint.kind.replaceAll('_', ' ')} bot, version {bot.version} <BotLamp bot={bot} />
      </Head>
      {bot.description === undefined ? null : <p class="muted">{oneLine(bot.description, 500)}</p>}
      <div class="split">
        <div class="stack">
          <State bot={bot} stat={stat} />
          {stat?.budgets === undefined ? null : <Budgets budgets={stat.budgets} />}
          <Card title="Endpoint">
            <Tree value={endpoint} label="Endpoint" />
          </Card>
        </div>
        <QueueLanes queue={id} />
      </div>
    </>
  )
}
