// Who caused an event of a forge, and in which conversation: over the 17 real deliveries of Gitea, over the fields of the
// documented payloads of each forge, and over anything at all.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  foldedActor,
  forgeOf,
  originFault,
  originOf,
  originPaths,
  storedOrigin,
  valueIn,
  type Forge,
} from '../src/forge.ts'
import { Matcher } from '../src/routing/matcher.ts'

const folder = 'test/fixtures/gitea-webhooks'
const deliveries = (
  JSON.parse(readFileSync(`${folder}/index.json`, 'utf8')) as {
    deliveries: { file: string; event: string }[]
  }
).deliveries
const forges: Forge[] = ['forgejo', 'gitea', 'github', 'gitlab']

/** Actor and thread as one text: who@where would be ambiguous, so they are separated by a space. */
function told(forge: Forge, type: string, payload: unknown): string {
  const { actor, thread } = originOf(forge, type, valueIn(payload))
  return `${actor} ${thread}`
}

const real: Record<string, string> = {
  'create-event.json': 'example example/example@refs/heads/master',
  'delete-event.json': 'example example/example@refs/heads/example3',
  'fork-event.json': 'example2 null',
  'issues-event.json': 'example example/example#1',
  'issue-assign-event.json': 'example example/example#1',
  'issue-label-event.json': 'example example/example#1',
  'issue-milestone-event.json': 'example example/example#1',
  'issue-comment-event.json': 'example example/example#1',
  'push-event.json': 'example example/example@refs/heads/master',
  'pull-request-event.json': 'example2 example/example#2',
  // Not example2, who opened it.
  'pull-request-assign-event.json': 'example example/example#2',
  'pull-request-label-event.json': 'example example/example#2',
  'pull-request-milestone-event.json': 'example example/example#2',
  'pull-request-comment-event.json': 'example example/example#2',
  'pull-request-review-event.json': 'example example/example#2',
  'repository-event.json': 'example null',
  'release-event.json': 'example null',
}

describe('real deliveries', () => {
  test('every one is in the table', () => {
    expect(deliveries.map(({ file }) => file).toSorted()).toEqual(Object.keys(real).toSorted())
  })
  test.each(deliveries)('$file, as Gitea and as Forgejo', ({ file, event }) => {
    const payload: unknown = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'))
    expect([told('gitea', event, payload), told('forgejo', event, payload)]).toEqual([real[file], real[file]])
  })
})

const repository = { full_name: 'acme/site' }
const sender = { id: 7, login: 'Ada', username: 'Ada' }
const hub = { repository, sender }

describe('Forgejo and Gitea', () => {
  test.each<[string, string, object, string]>([
    [
      'a comment that a moderator edits',
      'issue_comment',
      {
        ...hub,
        action: 'edited',
        issue: { number: 3, user: { login: 'bob' } },
        comment: { user: { login: 'bob' } },
      },
      'Ada acme/site#3',
    ],
    [
      'a comment on a pull request',
      'pull_request_comment',
      { ...hub, is_pull: true, issue: { number: 4 }, pull_request: { number: 4 } },
      'Ada acme/site#4',
    ],
    [
      'the same under the coarser header',
      'issue_comment',
      { ...hub, is_pull: true, issue: { number: 4 } },
      'Ada acme/site#4',
    ],
    [
      'an approval',
      'pull_request_review_approved',
      {
        ...hub,
        action: 'reviewed',
        number: 4,
        pull_request: { number: 4 },
        review: { type: 'x', content: '' },
      },
      'Ada acme/site#4',
    ],
    [
      'a type of tomorrow about a pull request',
      'pull_request_tomorrow',
      { ...hub, number: 4 },
      'Ada acme/site#4',
    ],
    [
      'a push to a pull request',
      'pull_request_sync',
      { ...hub, action: 'synchronized', number: 4, pull_request: { number: 4 } },
      'Ada acme/site#4',
    ],
    [
      'a push without a sender',
      'push',
      { repository, pusher: { login: 'Ada' }, ref: 'refs/heads/main' },
      'Ada acme/site@refs/heads/main',
    ],
    [
      'a branch created, its full name',
      'create',
      { ...hub, ref: 'refs/heads/x/y', ref_type: 'branch' },
      'Ada acme/site@refs/heads/x/y',
    ],
    [
      'a tag deleted, its short name',
      'delete',
      { ...hub, ref: 'v1', ref_type: 'tag' },
      'Ada acme/site@refs/tags/v1',
    ],
    [
      'a run of Actions',
      'action_run_failure',
      { run: { repository, trigger_user: { login: 'Ada' }, prettyref: 'main' } },
      'Ada null',
    ],
    [
      'events of the account of Actions',
      'issues',
      { repository, sender: { id: -2, login: 'forgejo-actions' }, issue: { number: 1 } },
      'forgejo-actions acme/site#1',
    ],
    [
      'a deleted account',
      'issues',
      { repository, sender: { id: -1, login: 'Ghost' }, issue: { number: 1 } },
      'null acme/site#1',
    ],
    ['a package', 'package', { ...hub, package: {} }, 'Ada null'],
    ['a release on a branch', 'release', { ...hub, ref: 'refs/heads/main', release: {} }, 'Ada null'],
  ])('%s', (_what, type, payload, expected) => {
    expect([told('forgejo', type, payload), told('gitea', type, payload)]).toEqual([expected, expected])
  })
})

describe('GitHub', () => {
  test.each<[string, string, object, string]>([
    [
      'a comment on a pull request',
      'issue_comment',
      { ...hub, issue: { number: 4, pull_request: {} } },
      'Ada acme/site#4',
    ],
    [
      'a comment in a review',
      'pull_request_review_comment',
      { ...hub, pull_request: { number: 4 } },
      'Ada acme/site#4',
    ],
    [
      'an app',
      'issues',
      { repository, sender: { login: 'dependabot[bot]', type: 'Bot' }, issue: { number: 4 } },
      'dependabot[bot] acme/site#4',
    ],
    [
      'a deleted account',
      'issues',
      { repository, sender: { login: 'ghost' }, issue: { number: 4 } },
      'null acme/site#4',
    ],
    [
      'a push of a tag',
      'push',
      { ...hub, ref: 'refs/tags/v1', pusher: { name: 'eve' } },
      'Ada acme/site@refs/tags/v1',
    ],
    [
      'a push without a sender',
      'push',
      { repository, ref: 'refs/heads/main', pusher: { name: 'Ada' } },
      'Ada acme/site@refs/heads/main',
    ],
    [
      'a branch whose name looks full',
      'create',
      { ...hub, ref: 'refs/heads/main', ref_type: 'branch' },
      'Ada acme/site@refs/heads/refs/heads/main',
    ],
    ['a repository created', 'create', { ...hub, ref: null, ref_type: 'repository' }, 'Ada null'],
    [
      'checks name pull requests, and are part of none',
      'check_run',
      { ...hub, check_run: { pull_requests: [{ number: 4 }] } },
      'Ada null',
    ],
    [
      'a workflow that is dispatched on a ref',
      'workflow_dispatch',
      { ...hub, ref: 'refs/heads/main' },
      'Ada null',
    ],
    ['a discussion', 'discussion', { ...hub, discussion: { number: 4 } }, 'Ada null'],
  ])('%s', (_what, type, payload, expected) => {
    expect(told('github', type, payload)).toBe(expected)
  })
})

const project = { path_with_namespace: 'acme/web/site' }
const user = { username: 'ada', name: 'Ada L.' }

describe('GitLab', () => {
  test.each<[string, object, string]>([
    [
      'a push',
      { object_kind: 'push', user_name: 'Ada L.', user_username: 'ada', ref: 'refs/heads/main', project },
      'ada acme/web/site@refs/heads/main',
    ],
    [
      'a push of a tag',
      { object_kind: 'tag_push', user_username: 'ada', ref: 'refs/tags/v1', project },
      'ada acme/web/site@refs/tags/v1',
    ],
    [
      'a push, told by a system hook',
      { event_name: 'push', user_username: 'ada', ref: 'refs/heads/main', project },
      'ada acme/web/site@refs/heads/main',
    ],
    [
      'a push of old, with a display name only',
      { object_kind: 'push', user_name: 'Ada L.', ref: 'refs/heads/main', project },
      'null acme/web/site@refs/heads/main',
    ],
    [
      'an issue',
      { object_kind: 'issue', user, project, object_attributes: { id: 301, iid: 23, author_id: 9 } },
      'ada acme/web/site#23',
    ],
    [
      'a work item',
      { object_kind: 'work_item', user, project, object_attributes: { iid: 24 } },
      'ada acme/web/site#24',
    ],
    [
      'a merge request of the same number',
      { object_kind: 'merge_request', user, project, object_attributes: { iid: 23 } },
      'ada acme/web/site!23',
    ],
    [
      'a comment on an issue',
      {
        object_kind: 'note',
        user,
        project,
        object_attributes: { id: 1, noteable_type: 'Issue' },
        issue: { iid: 23 },
      },
      'ada acme/web/site#23',
    ],
    [
      'a comment on a merge request',
      {
        object_kind: 'note',
        user,
        project,
        object_attributes: { noteable_type: 'MergeRequest' },
        merge_request: { iid: 23 },
      },
      'ada acme/web/site!23',
    ],
    [
      'a comment on a commit',
      { object_kind: 'note', user, project, object_attributes: { noteable_type: 'Commit' }, commit: {} },
      'ada null',
    ],
    [
      'a reaction to a merge request',
      {
        object_kind: 'emoji',
        user,
        project,
        object_attributes: { awardable_type: 'MergeRequest' },
        merge_request: { iid: 23 },
      },
      'ada acme/web/site!23',
    ],
    [
      'a pipeline has a number of its own',
      {
        object_kind: 'pipeline',
        user,
        project,
        object_attributes: { iid: 3, ref: 'main' },
        merge_request: { iid: 1 },
      },
      'ada null',
    ],
    [
      'a member is not who added it',
      { event_name: 'user_add_to_team', user_username: 'newcomer', user_name: 'N.', project },
      'null null',
    ],
    [
      'a release',
      { object_kind: 'release', project, tag: 'v1', commit: { author: { name: 'Ada L.' } } },
      'null null',
    ],
    [
      'a deleted account',
      { object_kind: 'issue', user: { username: 'ghost' }, project, object_attributes: { iid: 23 } },
      'null acme/web/site#23',
    ],
  ])('%s', (_what, payload, expected) => {
    expect(told('gitlab', 'Some Hook', payload)).toBe(expected)
  })
})

describe('what is not as it should be is null', () => {
  const wrong: unknown[] = [
    null,
    undefined,
    true,
    5,
    {},
    [],
    ['ada', 'eve'],
    { login: 'x' },
    '',
    'a\u0000b',
    'a\nb',
    'a\u202eb',
    '\ud800',
    'bot:x',
    'BOT:x',
    'x'.repeat(257),
  ]
  test.each(wrong.map(value => [JSON.stringify(value)?.slice(0, 20), value]))(
    'a login that is %s',
    (_text, login) => {
      expect(told('forgejo', 'issues', { repository, sender: { login }, issue: { number: 1 } })).toBe(
        'null acme/site#1',
      )
      expect(
        told('gitlab', 'x', {
          object_kind: 'issue',
          user: { username: login },
          project,
          object_attributes: { iid: 1 },
        }),
      ).toBe('null acme/web/site#1')
    },
  )
  test.each([null, undefined, '1', 0, -1, 1.5, 2 ** 53, Infinity, [1, 2], {}, true])(
    'a number that is %s',
    number => {
      expect(told('forgejo', 'issues', { ...hub, issue: { number } })).toBe('Ada null')
      expect(
        told('gitlab', 'x', { object_kind: 'issue', user, project, object_attributes: { iid: number } }),
      ).toBe('ada null')
    },
  )
  test.each([
    null,
    undefined,
    '',
    'main',
    'refs/',
    5,
    ['refs/heads/main', 'x'],
    'refs/heads/\u0007',
    `refs/heads/${'x'.repeat(1100)}`,
  ])('a ref that is %j', ref => {
    expect(told('forgejo', 'push', { ...hub, ref })).toBe('Ada null')
    expect(told('gitlab', 'x', { object_kind: 'push', user_username: 'ada', project, ref })).toBe('ada null')
  })
  test.each([null, undefined, '', 5, {}, 'a\u0000/b', 'x'.repeat(1100)])(
    'a repository that is %j',
    full_name => {
      expect(told('github', 'issues', { sender, repository: { full_name }, issue: { number: 1 } })).toBe(
        'Ada null',
      )
    },
  )
})

/** Payloads that have the right members, with anything at all in them. */
const odd = fc.oneof(
  fc.jsonValue(),
  fc.integer(),
  fc.constantFrom('push', 'note', 'Issue', 'branch', 'refs/heads/main', 'acme/site', 'ada', 12),
)
const nested = (path: string, value: unknown): object => ({
  [path.split('.')[0]!]: path.includes('.') ? nested(path.slice(path.indexOf('.') + 1), value) : value,
})
const merged = (into: Record<string, unknown>, from: Record<string, unknown>): Record<string, unknown> => {
  for (const [key, value] of Object.entries(from)) {
    const before = into[key]
    const both =
      typeof before === 'object' &&
      before !== null &&
      !Array.isArray(before) &&
      typeof value === 'object' &&
      value !== null
    into[key] = both ? merged(before as Record<string, unknown>, value as Record<string, unknown>) : value
  }
  return into
}
const payloads = fc
  .array(fc.tuple(fc.constantFrom(...originPaths), odd), { maxLength: 12 })
  .map(entries =>
    entries.reduce<Record<string, unknown>>(
      (payload, [path, value]) => merged(payload, nested(path, value) as Record<string, unknown>),
      {},
    ),
  )
const types = fc.constantFrom(
  'push',
  'create',
  'delete',
  'issues',
  'pull_request_comment',
  'Note Hook',
  'anything',
)

describe('any payload', () => {
  test('is no error, and gives nothing that is refused', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...forges),
        types,
        fc.oneof(payloads, fc.jsonValue()),
        (forge, type, payload) => {
          const { actor, thread } = originOf(forge, type, valueIn(payload))
          if (actor !== null) expect(originFault('actor', actor)).toBeUndefined()
          if (thread !== null) expect(originFault('thread', thread)).toBeUndefined()
        },
      ),
      { numRuns: 5000 },
    )
  })

  test('says the same read from its bytes, unparsed, and parsed', () => {
    const matcher = new Matcher<never>(
      [],
      undefined,
      originPaths.map(path => `payload.${path}`),
    )
    let known = 0
    fc.assert(
      fc.property(fc.constantFrom(...forges), types, payloads, (forge, type, payload) => {
        const json = Buffer.from(JSON.stringify(payload))
        const parsed = originOf(forge, type, valueIn(JSON.parse(json.toString())))
        if (parsed.actor !== null || parsed.thread !== null) known++
        if (!matcher.read(json)) matcher.readValue(JSON.parse(json.toString()))
        expect(originOf(forge, type, path => matcher.valueAt(`payload.${path}`))).toEqual(parsed)
        matcher.readValue(payload)
        expect(originOf(forge, type, path => matcher.valueAt(`payload.${path}`))).toEqual(parsed)
        expect(storedOrigin({ provider: forge, type, headers: {}, body_format: 'json', body: json })).toEqual(
          parsed,
        )
      }),
      { numRuns: 5000 },
    )
    expect(known).toBeGreaterThan(200)
  })

  test('as a stored body is no error, whatever its bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...forges, 'cloudevents', 'none', null),
        fc.constantFrom('json', 'form', 'text', 'binary'),
        (body, provider, body_format) => {
          expect(storedOrigin({ provider, type: 'push', headers: {}, body_format, body })).toEqual({
            actor: null,
            thread: null,
          })
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('control: a sender that is not looked at would be noticed', () => {
    const blind = originOf('gitea', 'issues', path =>
      path === 'sender.login' || path === 'sender.username'
        ? null
        : valueIn({ ...hub, issue: { number: 1 } })(path),
    )
    expect(`${blind.actor} ${blind.thread}`).toBe('null acme/site#1')
  })
})

describe('names', () => {
  test('of the four forges, and of no other provider', () => {
    expect(forges.map(forgeOf)).toEqual(forges)
    expect(
      ['none', 'standard', 'cloudevents', 'bearer', undefined, null, 'toString', '__proto__'].map(forgeOf),
    ).toEqual(Array.from({ length: 8 }))
  })
  test('are folded in ASCII only, as SQLite does', () => {
    expect(foldedActor('ADA-Lovelace_9[Bot]')).toBe('ada-lovelace_9[bot]')
    // The sign of Kelvin would become a plain k.
    expect(foldedActor('\u212aİÄ')).toBe('\u212aİÄ')
  })
  test('threads of different repositories, kinds and refs differ', () => {
    const all = [
      told('gitlab', '', { object_kind: 'issue', project, object_attributes: { iid: 1 } }),
      told('gitlab', '', { object_kind: 'merge_request', project, object_attributes: { iid: 1 } }),
      told('gitlab', '', { object_kind: 'push', project, ref: 'refs/heads/1' }),
      told('gitlab', '', { object_kind: 'push', project, ref: 'refs/heads/#1' }),
      told('gitlab', '', { object_kind: 'issue', project, object_attributes: { iid: 11 } }),
      told('gitlab', '', {
        object_kind: 'issue',
        project: { path_with_namespace: 'acme/web/site1' },
        object_attributes: { iid: 1 },
      }),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})
