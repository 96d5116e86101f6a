// What a router reports to Prometheus, read from its control socket.
import { request } from 'node:http'
import { parsedMetrics, type Metric } from './metrics-parser.ts'
import type { TestRouter } from './router.ts'

export function scraped(socketPath: string): Promise<{ text: string; type: string | undefined }> {
  return new Promise((done, reject) => {
    const asking = request({ socketPath, path: '/metrics' }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => done({ text, type: response.headers['content-type'] }))
    })
    asking.on('error', reject)
    asking.end()
  })
}

export async function metricsOf({
  router,
}: {
  router: Pick<TestRouter['router'], 'socket'>
}): Promise<Map<string, Metric>> {
  return parsedMetrics((await scraped(router.socket)).text)
}

/** The value of a sample; undefined: there is none. */
export function value(
  metrics: Map<string, Metric>,
  name: string,
  labels: Record<string, string> = {},
  suffix = '',
): number | undefined {
  return metrics
    .get(name)
    ?.samples.find(
      sample =>
        sample.name === name + suffix &&
        Object.entries(labels).every(([key, each]) => sample.labels[key] === each),
    )?.value
}
