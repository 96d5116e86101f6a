// Preloaded with node --import: tells over IPC what the main thread spent since it was last asked. The longest time without a
// turn of the event loop counts waiting for a processor, too; the processor time of the thread, as a whole or between two
// turns, does not.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

if (isMainThread && process.channel !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const size = () => {
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const spent = since => {
    const { user, system } = process.threadCpuUsage(since)
    return (user + system) / 1000
  }
  let cpu = process.threadCpuUsage()
  let turn = spent()
  let busiest = 0
  let floor = 0
  let peak = 0
  setInterval(() => {
    const now = spent()
    busiest = Math.max(busiest, now - turn)
    peak = Math.max(peak, size())
    // Its own cost is nobody's.
    turn = spent()
  }, 1).unref()
  process.on('message', what => {
    busiest = Math.max(busiest, spent() - turn)
    peak = Math.max(peak, size())
    process.send({ cpu_ms: spent(cpu), longest_ms: delay.max / 1e6, turn_ms: busiest, bytes: peak - floor })
    if (what === 'collect') globalThis.gc?.()
    floor = peak = size()
    delay.reset()
    busiest = 0
    turn = spent()
    cpu = process.threadCpuUsage()
  })
  process.channel.unref()
}
