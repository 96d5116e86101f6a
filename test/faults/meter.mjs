// Preloaded with node --import: tells over IPC what the main thread spent since it was last asked. The longest time without a
// turn of the event loop counts waiting for a processor, too; the processor time of the thread does not.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

if (isMainThread && process.channel !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const size = () => {
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  let cpu = process.threadCpuUsage()
  let floor = 0
  let peak = 0
  setInterval(() => (peak = Math.max(peak, size())), 1).unref()
  process.on('message', what => {
    const { user, system } = process.threadCpuUsage(cpu)
    peak = Math.max(peak, size())
    process.send({ cpu_ms: (user + system) / 1000, longest_ms: delay.max / 1e6, bytes: peak - floor })
    if (what === 'collect') globalThis.gc?.()
    floor = peak = size()
    delay.reset()
    cpu = process.threadCpuUsage()
  })
  process.channel.unref()
}
