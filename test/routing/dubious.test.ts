// What can never have an effect is warned of.
import { describe, expect, test } from 'vitest'
import { dubious } from '../../src/routing/dubious.ts'

describe('a filter', () => {
  test.each([
    [
      { type: ['push'], ref: ['x'] },
      'filter.ref is no attribute of an event; if it is a member of the payload, write {"payload": {"ref": …}}',
    ],
    [{ tpye: ['push'] }, 'filter.tpye is no attribute of an event; did you mean "type"?'],
    [{ paylod: { a: [1] } }, 'filter.paylod is no attribute of an event; did you mean "payload"?'],
    [
      { $or: [{ type: ['a'] }, { branch: ['b'] }] },
      'filter.$or.1.branch is no attribute of an event; if it is a member of the payload, write {"payload": {"branch": …}}',
    ],
    [
      { headers: { 'X-Event': ['a'] } },
      'filter.headers.X-Event matches no event: names of headers are stored in lower case; write x-event',
    ],
  ])('%j', (filter, warning) => {
    expect(dubious({ filter })).toEqual([warning])
  })

  test.each([
    { type: ['push'], payload: { ref: ['x'], headers: { 'X-A': [1] } } },
    { 'payload.ref': ['x'], $or: [{ subject: ['a'] }, { actor: ['b'] }] },
    {
      headers: { 'x-event': ['a'] },
      id: ['1'],
      source_id: ['s'],
      thread: ['t'],
      timestamp: [{ numeric: ['>', 1] }],
    },
  ])('control: %j', filter => {
    expect(dubious({ filter })).toEqual([])
  })
})

describe('a template', () => {
  const begins =
    'it must begin with id, source_id, type, subject, actor, thread, timestamp, headers, payload, events'

  test.each([
    ['{{ paylod.x }}', `{{ paylod.x }} is always empty: ${begins}; did you mean "payload"?`],
    ['on {{ event.payload.x }}', `{{ event.payload.x }} is always empty: ${begins}; write {{ payload.x }}`],
    [
      '{{ repository.name }}',
      `{{ repository.name }} is always empty: ${begins}; a member of the payload is {{ payload.repository.name }}`,
    ],
    [
      '{{ headers.X-Event-Type }}',
      '{{ headers.X-Event-Type }} is always empty: names of headers are stored in lower case; write {{ headers.x-event-type }}',
    ],
    ['${payload.x}', '${payload.x} is sent as it is written; a value of the event is {{ payload.x }}'],
  ])('%s', (text, warning) => {
    expect(dubious({ filter: {}, action: { inputs: { a: [text] } } })).toEqual([
      `action.inputs.a[0]: ${warning}`,
    ])
    expect(dubious({ filter: {}, policy: { concurrency: { key: text } } })).toEqual([
      `policy.concurrency.key: ${warning}`,
    ])
    expect(dubious({ filter: {}, policy: { order_key: text } })).toEqual([`policy.order_key: ${warning}`])
  })

  test.each([
    '{{ payload.x }}',
    '{{ $count(payload.commits) }}',
    '{{ headers.x-a }}',
    '{{ events }}',
    '$5',
    '{ }',
    'a {{ "b" }}',
  ])('control: %s', text => {
    expect(dubious({ filter: {}, action: { inputs: { a: text } } })).toEqual([])
  })
})
