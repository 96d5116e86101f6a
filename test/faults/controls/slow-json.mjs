// A router whose reading of JSON takes 80 ms.
const parse = JSON.parse
JSON.parse = (...given) => {
  for (const end = process.threadCpuUsage().user + 80_000; process.threadCpuUsage().user < end;);
  return parse(...given)
}
