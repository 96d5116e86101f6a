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

  /**
   * Takes tokens of a key. Default: one. Answers 0 when there were enough, else the milliseconds until there are. More
   * than a whole burst is given to a full bucket, which then owes the rest.
   */
  take(key: string, rate: Rate, now: number, count = 1): number {
    const bucket = this.#filled(key, rate, now)
    const needed = Math.min(count, rate.burst)
    if (bucket.tokens >= needed) {
      bucket.tokens -= count
      return 0
    }
    return Math.ceil(((needed - bucket.tokens) * rate.period_ms) / rate.limit)
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
    // The key that was used last stands last.
    this.#buckets.delete(key)
    this.#buckets.set(key, known)
    // A clock that stepped back gives nothing and takes nothing.
    const elapsed = Math.max(0, now - known.at)
    known.tokens = Math.min(rate.burst, known.tokens + (elapsed * rate.limit) / rate.period_ms)
    known.at = now
    return known
  }
}
