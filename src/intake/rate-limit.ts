// Token buckets: how much may come in how short a time. The clock is handed in, in milliseconds.

export interface Rate {
  limit: number
  period_ms: number
  burst: number
}

interface Bucket {
  tokens: number
  at: number
}

/** Most keys remembered; the one longest unused goes first. A key that is forgotten begins with a full bucket. */
const maxKeys = 10_000

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>()

  /** Takes one token of a key. Answers 0 when there was one, else the milliseconds until there is. */
  take(key: string, rate: Rate, now: number): number {
    const bucket = this.#filled(key, rate, now)
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return 0
    }
    return Math.ceil(((1 - bucket.tokens) * rate.period_ms) / rate.limit)
  }

  /** Whether a key has a token, without taking it. */
  has(key: string, rate: Rate, now: number): boolean {
    return this.#filled(key, rate, now).tokens >= 1
  }

  #filled(key: string, rate: Rate, now: number): Bucket {
    const known = this.#buckets.get(key)
    if (known === undefined) {
      if (this.#buckets.size >= maxKeys) this.#buckets.delete(this.#buckets.keys().next().value!)
      const bucket = { tokens: rate.burst, at: now }
      this.#buckets.set(key, bucket)
      return bucket
    }
    // A clock that stepped back gives nothing and takes nothing.
    const elapsed = Math.max(0, now - known.at)
    known.tokens = Math.min(rate.burst, known.tokens + (elapsed * rate.limit) / rate.period_ms)
    known.at = now
    return known
  }
}
