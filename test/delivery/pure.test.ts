// What decides in delivery, by itself: states and moves, retry schedules, the breaker, addresses.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RunState } from '../../src/contract/types.ts'
import { breakerState, closedBreaker, recorded } from '../../src/delivery/breaker.ts'
import { egressRule, urlRefusal } from '../../src/outbound/egress.ts'
import { nextAttemptAt, schedule } from '../../src/delivery/retry-schedule.ts'
import { retryAfterMs } from '../../src/outbound/retry-after.ts'
import { move, moves, movesFrom, type Move, type MoveName } from '../../src/delivery/run-state.ts'

const states: RunState[] = [
  'pending',
  'awaiting_approval',
  'held',
  'assigned',
  'running',
  'paused',
  'completed',
  'failed',
  'timed_out',
  'cancelled',
]

describe('run states', () => {
  test('every state can be reached, and every one that is not over can be left', () => {
    const reached = new Set<RunState>(['pending'])
    for (let before = 0; before < reached.size;) {
      before = reached.size
      for (const state of reached) for (const name of movesFrom(state)) reached.add(moves[name].to)
    }
    expect([...reached].toSorted()).toEqual(states.toSorted())
    for (const state of states)
      expect(movesFrom(state).length > 0, state).toBe(state !== 'completed' && state !== 'cancelled')
  })

  test('only a move that ends a run takes it out of the outbox, and nothing leads out of an end', () => {
    const all = Object.entries(moves) as [MoveName, Move][]
    for (const [name, { to, archive }] of all) {
      if (to === 'completed' || to === 'cancelled') expect(archive, name).toBe(true)
      if (archive === true) expect(['completed', 'cancelled', 'failed', 'timed_out'], name).toContain(to)
    }
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...all.map(([name]) => name)), { maxLength: 40 }), names => {
        let state: RunState | undefined = 'pending'
        for (const name of names) {
          if (state === undefined || !(moves[name].from as readonly RunState[]).includes(state)) continue
          const { to, archive } = move(name)
          state = archive === true ? undefined : to
          if (state !== undefined) expect(states).toContain(state)
        }
      }),
    )
  })
})

describe('retry schedules', () => {
  const usual = [0, 1000, 5000]
  test('by name, by list, or none', () => {
    expect(schedule(undefined, usual)).toEqual(usual)
    expect(schedule('default', usual)).toEqual(usual)
    expect(schedule('none', usual)).toEqual([0])
    expect(schedule([5, 6], usual)).toEqual([5, 6])
    expect(schedule('standard-webhooks', usual)).toHaveLength(10)
  })
  test.each([
    [1, 0.5, undefined, 1000],
    [1, 0, undefined, 800],
    [1, 1, undefined, 1200],
    [2, 0.5, undefined, 5000],
    [3, 0.5, undefined, null],
    [1, 0.5, 10, 1000],
    [1, 0.5, 60_000, 60_000],
    [1, 0.5, 10 * 86_400_000, 86_400_000],
  ])('after %i attempts with chance %f and Retry-After %s', (made, chance, retryAfter, expected) => {
    expect(nextAttemptAt(usual, made, 5, chance, retryAfter)).toBe(expected === null ? null : 5 + expected)
  })
  test('Retry-After in seconds or as a date', () => {
    expect(retryAfterMs('120', 0)).toBe(120_000)
    expect(retryAfterMs('Thu, 01 Jan 1970 00:01:00 GMT', 1000)).toBe(59_000)
    expect(retryAfterMs('Thu, 01 Jan 1970 00:00:00 GMT', 5000)).toBe(0)
    for (const wrong of [undefined, '', 'soon', '-5', '1.5e99x'])
      expect(retryAfterMs(wrong, 0)).toBeUndefined()
  })
})

describe('the breaker', () => {
  const after = (outcomes: string, start = closedBreaker, at = 0): typeof closedBreaker =>
    outcomes
      .split('')
      .reduce((breaker, outcome, index) => recorded(breaker, outcome === '+', at + index, 1000), start)
  test('opens after ten failures in a row, or 70 % of at least ten', () => {
    expect(breakerState(after('---------'), 20)).toBe('closed')
    expect(breakerState(after('----------'), 20)).toBe('open')
    expect(breakerState(after('--+--+---+'), 20)).toBe('closed')
    expect(breakerState(after('+--+---+--'), 20)).toBe('open')
  })
  test('lets one through after its pause, closes on success, and pauses longer after each failure', () => {
    const open = after('----------')
    expect(breakerState(open, open.open_until)).toBe('half_open')
    expect(breakerState(recorded(open, true, open.open_until, 1000), open.open_until)).toBe('closed')
    const again = recorded(open, false, open.open_until, 1000)
    expect(again.open_until - open.open_until).toBe(2000)
    let breaker = again
    for (let count = 0; count < 10; count++) breaker = recorded(breaker, false, breaker.open_until, 1000)
    expect(recorded(breaker, false, breaker.open_until, 1000).open_until - breaker.open_until).toBe(20_000)
  })
  test('forgets what is longer ago than five minutes', () => {
    const old = after('--------+')
    expect(breakerState(after('-------', old, 400_000), 400_010)).toBe('closed')
  })
})

describe('addresses', () => {
  const egress = egressRule([])
  test.each(['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', '93.184.216.34', '2606:2800:220:1::1'])(
    '%s is open',
    address => {
      expect(egress(address)).toBe(true)
    },
  )
  test.each([
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '198.18.0.1',
    'fc00::1',
    'fd12::1',
    '169.254.1.1',
    '169.254.169.254',
    'fe80::1',
    'fd00:ec2::254',
    '168.63.129.16',
    '100.100.100.200',
    '0.0.0.0',
    '0.1.2.3',
    '255.255.255.255',
    '224.0.0.1',
    '240.0.0.1',
    'ff02::1',
    '::',
    '::ffff:10.0.0.1',
    '::ffff:a9fe:a9fe',
    '::10.0.0.1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001:0:1::1',
    '2001:db8::1',
    '::ffff:0:7f00:1',
    'fec0::1',
    '192.0.2.1',
    'not an address',
    '',
  ])('%s is not', address => {
    expect(egress(address)).toBe(false)
  })
  test('private ranges open as listed; metadata and link-local never', () => {
    const listed = egressRule(['10.0.0.0/8', '192.168.1.5', 'fd00::/8', '169.254.0.0/16'])
    for (const address of ['10.1.2.3', '192.168.1.5', 'fd12::1', '::ffff:10.1.2.3'])
      expect(listed(address), address).toBe(true)
    for (const address of ['192.168.1.6', '172.16.0.1', '169.254.169.254', 'fd00:ec2::254'])
      expect(listed(address), address).toBe(false)
    for (const wrong of ['10.0.0.0/33', 'example.com', '10.0.0.0/8/8', ''])
      expect(() => egressRule([wrong]), wrong).toThrow('egress_allow')
  })
  test.each([
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '168.63.129.16',
    '100.100.100.200',
    'fd00:ec2::254',
    'fd00:0ec2:0:0:0:0:0:254',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:c1::a9fe:a9fe',
    'fd00:42::42',
    'fd00:a9fe:a9fe::1',
    'fe80::a9fe:a9fe',
    'fe80::a9fe:a9fe%eth0',
    '::ffff:169.254.169.254',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '::FFFF:168.63.129.16',
    '::ffff:100.100.100.200',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
    '64:ff9b::168.63.129.16',
    '2002:a9fe:a9fe::1',
    // A NAT64 of one's own, by the length of its prefix, and ISATAP.
    'fd64::a9fe:a9fe',
    'fd64:1:2:3:a9:fea9:fe00:0',
    'fd64:1:2:a9:fe:a9fe::',
    'fd64:1:a9fe:a9fe::',
    'fd64:1:a9:fea9:fe::',
    'fd64:1:2:3::5efe:169.254.169.254',
    '2606:4700::6464:64c8',
  ])('%s stays closed, whatever is allowed', address => {
    for (const allow of [['fc00::/7'], ['0.0.0.0/0', '::/0'], [address.replace(/%.*/, '')]])
      expect(egressRule(allow)(address), allow.join(' ')).toBe(false)
  })
  test('what is near one of them opens as listed', () => {
    const listed = egressRule(['fc00::/7', '100.64.0.0/10'])
    for (const address of [
      'fd00:ec3::254',
      'fd20:cf::254',
      'fd64::a9fe:a9ff',
      'fd00:42::43',
      '100.100.100.201',
      '0:0:0:0:0:ffff:100.64.0.1',
      'fd12::1',
    ])
      expect(listed(address), address).toBe(true)
  })
  test.each([
    'http://10.0.0.1/',
    'http://0xa9fea9fe/',
    'http://2852039166/',
    'http://0251.0376.0251.0376/',
    'http://169.254.43518/',
    'http://[::ffff:10.0.0.1]/',
    'http://[::127.0.0.1]/',
    'http://[fe80::1]/',
    'http://[64:ff9b::1]/',
    'http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/',
    'http://user@example.com/',
    'http://user:pass@127.0.0.1/',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'gopher://127.0.0.1/',
    'http://127.0.0.1:0/',
    'http://metadata.google.internal/',
    'http://[fe80::1%25eth0]/',
    'nonsense',
    'http://',
    'http://0.0.0.0/',
    'http://0/',
  ])('a bot cannot live at %s', url => {
    expect(urlRefusal(url, egress)).toBeDefined()
  })
  test.each([
    'http://127.0.0.1:3000/x',
    'http://127.1/',
    'http://2130706433/',
    'https://example.com/hook?a=b',
    'http://[::1]:80/',
    'http://localhost:1/',
  ])('a bot can live at %s', url => {
    expect(urlRefusal(url, egress)).toBeUndefined()
  })
})
