// Where bots may live: loopback is open, private ranges only as the configuration lists them, link-local, metadata and
// special addresses never. Pure; the caller that connects asks again with the address that was really reached.
import { BlockList, isIP, isIPv6 } from 'node:net'

export type Egress = (address: string) => boolean

function list(...blocks: string[]): BlockList {
  const result = new BlockList()
  for (const block of blocks) {
    const [address = '', bits = ''] = block.split('/')
    result.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return result
}

// Metadata services hand out credentials: never, whatever the configuration says of the range around them. IPv4: link-local
// has most clouds' (169.254.169.254) and those of containers (169.254.170.2 and .23 on AWS); then Azure's and Alibaba's. IPv6:
// link-local (OpenStack, Hetzner), and in the private range those of AWS, Google, Oracle, Scaleway and Linode.
const never = list(
  '169.254.0.0/16',
  '168.63.129.16/32',
  '100.100.100.200/32',
  'fe80::/10',
  'fd00:ec2::/32',
  'fd20:ce::/64',
  'fd00:c1::/64',
  'fd00:42::42/128',
  'fd00:a9fe:a9fe::/64',
)
/** The same as numbers: an IPv6 address that a translator (NAT64, ISATAP) turns into one of them is as good as it. */
const metadata = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '168.63.129.16',
  '100.100.100.200',
])
// Unspecified, multicast, reserved, documentation, and IPv6 forms that carry an IPv4 address of their own.
const special = list(
  '0.0.0.0/8',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  'ff00::/8',
  '2001::/32',
  '2002::/16',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2001:db8::/32',
  'fec0::/10',
  '100::/64',
  '::ffff:0:0:0/96',
)
const compatible = list('::/96')
const loopback = list('127.0.0.0/8', '::1/128')
const privateRanges = list(
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '198.18.0.0/15',
  'fc00::/7',
)

/** The 16 bytes of an IPv6 address. A zone (%eth0) says which interface, not which address. */
function bytesOf(address: string): Buffer {
  const [text = ''] = address.split('%', 1)
  const [head = [], tail] = text.split('::', 2).map(groupsOf)
  const groups = [
    ...head,
    ...Array.from({ length: 8 - head.length - (tail?.length ?? 0) }, () => 0),
    ...(tail ?? []),
  ]
  const bytes = Buffer.alloc(16)
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(group, 2 * index)
  return bytes
}

/** Groups of four digits; an IPv4 address at the end is two of them. */
function groupsOf(text: string): number[] {
  return text
    .split(':')
    .filter(group => group !== '')
    .flatMap(group => {
      if (!group.includes('.')) return [Number.parseInt(group, 16)]
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
      return [a * 256 + b, c * 256 + d]
    })
}

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex')

/** The IPv4 address inside an IPv4-mapped one, else the address as it is. */
function plain(address: string): string {
  if (isIP(address) !== 6) return address
  const bytes = bytesOf(address)
  return bytes.subarray(0, 12).equals(mappedPrefix) ? bytes.subarray(12).join('.') : address
}

/**
 * The IPv4 addresses that a translator may see in an IPv6 one: in the last four bytes, or behind a prefix of 32 to 64 bits
 * with byte 8 left out (RFC 6052). Prefixes are the operator's, so any may be one.
 */
function embedded(address: string): string[] {
  const bytes = bytesOf(address)
  const around = Buffer.concat([bytes.subarray(0, 8), bytes.subarray(9)])
  return [
    bytes.subarray(12).join('.'),
    ...[4, 5, 6, 7, 8].map(from => around.subarray(from, from + 4).join('.')),
  ]
}

/** Blocks of the configuration, such as 10.0.0.0/8 or a single address. Throws RangeError for anything else. */
function allowed(entries: readonly string[]): BlockList {
  const result = new BlockList()
  for (const entry of entries) {
    const [address = '', bits, ...rest] = entry.split('/')
    const version = isIP(address)
    const width = version === 6 ? 128 : 32
    const prefix = bits === undefined ? width : Number(bits)
    if (version === 0 || rest.length > 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > width) {
      throw new RangeError(
        `egress_allow must list addresses and blocks such as 10.0.0.0/8; found ${JSON.stringify(entry)}`,
      )
    }
    result.addSubnet(address, prefix, version === 6 ? 'ipv6' : 'ipv4')
  }
  return result
}

/** Answers whether an address may be connected to. */
export function egressRule(allow: readonly string[]): Egress {
  const listed = allowed(allow)
  return given => {
    const address = plain(given)
    const version = isIP(address)
    if (version === 0) return false
    const family = version === 6 ? 'ipv6' : 'ipv4'
    if (never.check(address, family)) return false
    if (version === 6 && embedded(address).some(each => metadata.has(each))) return false
    if (loopback.check(address, family)) return true
    if (special.check(address, family) || (version === 6 && compatible.check(address, family))) return false
    return !privateRanges.check(address, family) || listed.check(address, family)
  }
}

const refusedNames = /^(metadata\.google\.internal|metadata|instance-data)\.?$/i

/**
 * Why a bot's URL is refused when it is written, or undefined. WHATWG URL has normalised every numeric spelling of an
 * address by then; names are checked when they are looked up.
 */
export function urlRefusal(text: string, egress: Egress): string | undefined {
  if (!URL.canParse(text)) return 'is no URL'
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return `must be http or https; found ${url.protocol}`
  if (url.username !== '' || url.password !== '')
    return 'must not hold a user name or password; use bearer or secret'
  if (url.port === '0') return 'must not name port 0'
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  if (host === '' || refusedNames.test(host))
    return `must not be a host name that never belongs to a bot; found ${host}`
  if (isIP(host) !== 0 && !egress(host))
    return `must be a public address; found ${host}; egress_allow in the configuration opens private ranges`
  return undefined
}
