// The image and its composition, read as an engine reads them: no engine is needed. Who the router runs as, where it keeps what, and which
// ports are open have to agree between Containerfile, compose.yaml and the package.
import { existsSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'

interface Instruction {
  name: string
  rest: string
}

type Stage = Instruction[]

interface Service {
  image?: string
  build?: { context: string; dockerfile: string }
  user?: string
  privileged?: boolean
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  ports: string[]
  volumes: string[]
  environment?: Record<string, string>
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
  stop_grace_period?: string
}

/** The stages of a Containerfile, each beginning with its FROM. */
function stages(text: string): Stage[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
  const found: Stage[] = []
  for (const line of lines.filter(each => each.trim() !== '')) {
    const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (name === undefined || rest === undefined) throw new Error(`no instruction: ${line}`)
    if (name === 'FROM') found.push([])
    found.at(-1)!.push({ name, rest })
  }
  return found
}

const all = (stage: Stage, name: string): string[] =>
  stage.filter(each => each.name === name).map(({ rest }) => rest)

function environmentOf(stage: Stage): Map<string, string> {
  return new Map(
    all(stage, 'ENV').map(rest => [rest.slice(0, rest.indexOf('=')), rest.slice(rest.indexOf('=') + 1)]),
  )
}

/** What is wrong with an image, in words. */
function faults(text: string): string[] {
  const found: string[] = []
  const made = stages(text)
  const last = made.at(-1)!
  const names = made.slice(0, -1).flatMap(stage => / AS (\w+)$/.exec(stage[0]!.rest)?.[1] ?? [])
  const env = environmentOf(last)
  if (made.length < 2) found.push('it has one stage: sources and tools to build are in it')
  for (const rest of all(last, 'COPY'))
    if (!names.includes(/^--from=(\w+) /.exec(rest)?.[1] ?? '')) found.push(`COPY ${rest}: from no stage`)
  const [user, group] = (all(last, 'USER').at(-1) ?? '0').split(':').map(Number)
  // By number: Kubernetes cannot see that a name is not root.
  if (!(user! > 0 && group! > 0)) found.push('it runs as root, or as a name')
  else if (!all(last, 'RUN').some(rest => rest.includes(`--uid ${user} `)))
    found.push(`no user ${user} is made`)
  const [volume = ''] = all(last, 'VOLUME')
  if (posix.dirname(env.get('SIGNALBOX_STATE_DIR') ?? '/') !== volume)
    found.push('the state is not in a directory of the volume')
  if (
    !all(last, 'RUN').some(
      rest => /install --directory .*--mode 0700/.test(rest) && rest.endsWith(` ${volume}`),
    )
  )
    found.push('the volume is not the user’s alone')
  const [, address, port] = /^(.*):(\d+)$/.exec(env.get('SIGNALBOX_INTAKE_ADDRESS') ?? '') ?? []
  if (address !== '0.0.0.0') found.push('the intake cannot be reached from outside')
  if (all(last, 'EXPOSE').join() !== port) found.push(`port ${port} is not exposed`)
  if (!(all(last, 'HEALTHCHECK')[0] ?? '').includes(`http://127.0.0.1:${port}/health`))
    found.push('no health check of the intake')
  const entry = JSON.parse(all(last, 'ENTRYPOINT')[0] ?? '[""]') as string[]
  const [, inPackage = ''] = /^\/opt\/signalbox\/node_modules\/signalbox\/(.+)$/.exec(entry.at(-1)!) ?? []
  if (entry[0] !== 'node' || !existsSync(inPackage === '' ? '-' : inPackage))
    found.push(`the entry point ${entry.at(-1)} is not in the package`)
  return found
}

const containerfile = readFileSync('Containerfile', 'utf8')
const { services, volumes } = parse(readFileSync('compose.yaml', 'utf8')) as {
  services: Record<'signalbox' | 'forgejo', Service>
  volumes: Record<string, null>
}

describe('the image', () => {
  test('is not root, keeps its state on the volume, and is asked for its health', () => {
    expect(faults(containerfile)).toEqual([])
  })

  test.each<[string, string | RegExp, string, string]>([
    ['root', 'USER 10001:10001', 'USER root', 'it runs as root, or as a name'],
    ['no user', /^USER .*\n/m, '', 'it runs as root, or as a name'],
    ['another user', 'USER 10001:10001', 'USER 10002:10002', 'no user 10002 is made'],
    [
      'a state elsewhere',
      '=/var/lib/signalbox/state',
      '=/srv/state',
      'the state is not in a directory of the volume',
    ],
    [
      'the volume itself as state',
      '=/var/lib/signalbox/state',
      '=/var/lib/signalbox',
      'the state is not in a directory of the volume',
    ],
    ['a volume that others read', '--mode 0700', '--mode 0755', 'the volume is not the user’s alone'],
    ['an intake for itself', '=0.0.0.0:8020', '=127.0.0.1:8020', 'the intake cannot be reached from outside'],
    ['another port', 'EXPOSE 8020', 'EXPOSE 8021', 'port 8020 is not exposed'],
    ['no health check', /^HEALTHCHECK [^]*?"]\n/m, '', 'no health check of the intake'],
    [
      'another stage',
      '--from=build',
      '--from=built',
      'COPY --from=built /opt/signalbox /opt/signalbox: from no stage',
    ],
    [
      'another command',
      'bin/signalbox.cjs',
      'bin/signalbox.js',
      'the entry point /opt/signalbox/node_modules/signalbox/bin/signalbox.js is not in the package',
    ],
  ])('control: %s is noticed', (_name, from, to, fault) => {
    const broken = containerfile.replace(from, to)
    expect(broken).not.toBe(containerfile)
    expect(faults(broken)).toEqual([fault])
  })

  test('is built on the Node that is needed, without what the machine had', () => {
    const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } }
    const major = /\d+/.exec(engines.node)![0]
    for (const [{ rest }] of stages(containerfile) as [Instruction][])
      expect(rest).toMatch(new RegExp(`^node:${major}-trixie`))
    expect(readFileSync('.dockerignore', 'utf8').split('\n')).toEqual(
      expect.arrayContaining(['.git', 'dist', 'node_modules']),
    )
    const run = all(stages(containerfile)[0]!, 'RUN').join(' ')
    expect(run).toContain('scripts/build && npm pack')
  })
})

describe('the composition', () => {
  const { signalbox, forgejo } = services
  const last = stages(containerfile).at(-1)!

  test('has the ports, the volume and the health check of the image', () => {
    expect(signalbox.build).toEqual({ context: '.', dockerfile: 'Containerfile' })
    expect(signalbox.ports).toEqual([`127.0.0.1:8020:${all(last, 'EXPOSE')[0]}`])
    expect(signalbox.volumes).toEqual([`signalbox:${all(last, 'VOLUME')[0]}`])
    const [, check] = /CMD (.*)$/.exec(all(last, 'HEALTHCHECK')[0]!)!
    expect(signalbox.healthcheck?.test).toEqual(['CMD', ...(JSON.parse(check!) as string[])])
    // As long as attempts get to end, and a little.
    expect(signalbox.stop_grace_period).toBe('30s')
  })

  test('runs nobody as root, and opens ports to this machine only', () => {
    expect(signalbox).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges'],
    })
    for (const service of [signalbox, forgejo]) {
      expect([service.user, service.privileged]).toEqual([undefined, undefined])
      for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:/)
    }
    expect(forgejo.image).toContain('rootless')
  })

  test('has a Forgejo that may deliver to the router, and keeps its data', () => {
    expect(forgejo.environment?.FORGEJO__webhook__ALLOWED_HOST_LIST).toBe('signalbox')
    expect(forgejo.depends_on).toEqual({ signalbox: { condition: 'service_healthy' } })
    // The paths of the rootless image.
    expect(forgejo.volumes.map(volume => volume.split(':')[1])).toEqual(['/var/lib/gitea', '/etc/gitea'])
    const named = [...signalbox.volumes, ...forgejo.volumes].map(volume => volume.split(':')[0])
    expect(new Set(named)).toEqual(new Set(Object.keys(volumes)))
  })
})
