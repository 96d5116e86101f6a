// A router that takes 400 ms to read a call of rpc.health.
const parse = JSON.parse
JSON.parse = (...given) => {
  if (given[0].includes?.('"rpc.health"'))
    for (const end = process.threadCpuUsage().user + 400_000; process.threadCpuUsage().user < end;);
  return parse(...given)
}
