// Storage, access and the router itself.
import type { JSX } from 'preact'
import { Ago, Button, Card, CopyCommand, Facts, Head, Lamp, TabPanel, Tabs, Time } from '../parts/basic.tsx'
import { confirm } from '../parts/dialog.tsx'
import { attempt } from '../parts/toast.tsx'
import { useCall } from '../load.ts'
import { place, setQuery } from '../router.ts'
import { call } from '../rpc.ts'
import { can } from '../session.ts'
import { readStatusSoon, status } from '../status.ts'
import { bytes, count, duration, oneLine } from '../text.ts'
import { Audit } from './audit.tsx'
import { Logins } from './logins.tsx'
import { Tokens } from './tokens.tsx'

const dayMs = 86_400_000
const tabs = ['Storage', 'Router', 'Tokens', 'Logins', 'Audit'].map(title => ({
  name: title.toLowerCase(),
  title,
}))

/** What keeping events costs: bytes a day, and what the whole time will take. */
function Retention(): JSX.Element | null {
  const { logged, bytes: size, kept_ms, oldest_at } = status.value!.events
  const days = oldest_at === undefined ? 0 : Math.max(1 / 24, (Date.now() - oldest_at) / dayMs)
  const perDay = days === 0 ? 0 : size / days
  return (
    <Facts
      of={[
        ['events', `${count(logged)}, ${bytes(size)}`],
        ['oldest', oldest_at === undefined ? undefined : <Time at={oldest_at} />],
        ['kept for', `${duration(kept_ms)} (retention_ms)`],
        [
          'cost',
          perDay === 0
            ? undefined
            : `${bytes(perDay)} a day; about ${bytes(perDay * Math.min(kept_ms / dayMs, 3650))} when the whole time is full`,
        ],
      ]}
    />
  )
}

/** The audit log has every backup. */
function LastBackup(): JSX.Element {
  const read = useCall(
    'audit.list',
    can('admin') ? { method: 'router.backup', outcome: 'done', limit: 1 } : undefined,
  )
  const last = read.value.value?.entries[0]
  if (!can('admin'))
    return (
      <p class="small muted">
        Your login does not have the scope admin, so the age of the last backup is left out.
      </p>
    )
  return (
    <p class="small">
      {last === undefined ? 'No backup is in the audit log.' : <>Last backup: {<Ago at={last.at} />}</>}
    </p>
  )
}

function Storage(): JSX.Element {
  const router = status.value
  if (router === undefined) return <p class="muted">reading …</p>
  const { store } = router
  return (
    <div class="cards">
      <Card
        title="Database"
        more={store.full ? <Lamp kind="stop">full</Lamp> : <Lamp kind="clear">has room</Lamp>}
      >
        <Facts
          of={[
            ['file', <code>{store.path}</code>],
            ['size', bytes(store.database_bytes)],
            ['reusable', `${bytes(store.reusable_bytes)}: free pages that new events use first`],
            ['journal', `${bytes(store.wal_bytes)} (${store.journal_mode})`],
            [
              'disk',
              `${bytes(store.free_bytes)} free; the intake stops below ${bytes(store.reserve_bytes)} and goes on at ${bytes(store.resume_bytes)}`,
            ],
            ['schema', store.schema_version],
          ]}
        />
      </Card>
      <Card title="Retention">
        <Retention />
      </Card>
      <Card title="Backup">
        <p class="small">
          A backup is a checked copy of the database, made while the router runs. It is written where the
          router runs, so the command line makes it:
        </p>
        <pre class="command">signalbox backup /path/to/backup.db</pre>
        <CopyCommand command="signalbox backup /path/to/backup.db" />
        <LastBackup />
      </Card>
    </div>
  )
}

function Router(): JSX.Element {
  const health = useCall('rpc.health', {}, { every: 15_000 })
  const router = status.value
  if (router === undefined) return <p class="muted">reading …</p>
  const pause = (): void =>
    confirm(
      {
        title: 'Pause all dispatching?',
        text: 'Events are still logged and matched; runs wait until dispatching is resumed.',
        yes: 'Pause',
        reason: 'optional',
      },
      reason => {
        void attempt('dispatching paused', () =>
          call('router.pause', reason === undefined ? {} : { reason }),
        ).then(readStatusSoon)
      },
    )
  const resume = (): void =>
    void attempt('dispatching resumed', () => call('router.resume', {})).then(readStatusSoon)
  return (
    <div class="cards">
      <Card
        title="Router"
        more={
          router.paused === undefined ? (
            <Button scope="operate" onClick={pause}>
              Pause dispatching
            </Button>
          ) : (
            <Button scope="approve" look="primary" onClick={resume}>
              Resume dispatching
            </Button>
          )
        }
      >
        <Facts
          of={[
            ['version', router.version],
            ['started', <Time at={router.started_at} />],
            ['up', duration(router.uptime_ms)],
            ['process', `${router.pid}, Node ${router.node_version}, SQLite ${router.sqlite_version}`],
            ['state', <code>{router.state_dir}</code>],
            ['socket', <code>{router.socket}</code>],
            ['intake', <code>{router.intake_address}</code>],
            ['admin', router.admin_address === undefined ? undefined : <code>{router.admin_address}</code>],
            [
              'defined',
              `${count(router.sources)} sources, ${count(router.triggers)} triggers, ${count(router.bots.length)} bots`,
            ],
          ]}
        />
      </Card>
      <Card title="Health" more={<CopyCommand command="signalbox doctor" />}>
        <ul class="stack">
          {health.value.value?.checks.map(({ name, ok, detail }) => (
            <li key={name}>
              <Lamp kind={ok ? 'clear' : 'stop'}>{name}</Lamp>{' '}
              <span class="small">{oneLine(detail, 300)}</span>
            </li>
          ))}
        </ul>
      </Card>
      {router.warnings.length === 0 ? null : (
        <Card title="Warnings">
          <ul class="stack">
            {router.warnings.map(warning => (
              <li key={warning}>
                <Lamp kind="caution">warning</Lamp> {oneLine(warning, 500)}
              </li>
            ))}
          </ul>
        </Card>
      )}
    </div>
  )
}

export default function Screen(): JSX.Element {
  const tab = place.value.query.get('tab') ?? 'storage'
  const commands: Record<string, string> = {
    storage: 'signalbox status',
    router: 'signalbox doctor',
    tokens: 'signalbox tokens',
    logins: 'signalbox logins',
    audit: 'signalbox audit',
  }
  return (
    <>
      <Head
        title="Storage & settings"
        actions={<CopyCommand command={commands[tab] ?? 'signalbox status'} />}
      />
      <Tabs
        tabs={tabs}
        chosen={tab}
        choose={name => setQuery({ tab: name === 'storage' ? undefined : name, method: undefined })}
        label="Parts of the settings"
      />
      <TabPanel label={tabs.find(({ name }) => name === tab)?.title ?? tab}>
        {tab === 'router' ? (
          <Router />
        ) : tab === 'tokens' ? (
          <Tokens />
        ) : tab === 'logins' ? (
          <Logins />
        ) : tab === 'audit' ? (
          <Audit />
        ) : (
          <Storage />
        )}
      </TabPanel>
    </>
  )
}
