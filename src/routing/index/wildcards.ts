// Wildcards with texts between their stars: all of them are tried on a text in one pass over it (Aho and Corasick), so
// that thousands cost what the text costs and what of them fits.
//
// Each wildcard waits for its next text between stars. Where one ends, those that wait for it go on: leftmost first,
// which is enough to know whether a wildcard fits. Waiting wildcards are in lines by where their turn began; lines are in
// order by themselves, because the pass goes forward. So a wildcard is touched once for each of its stars, no more.
//
// New wildcards are tried one by one until there are enough of them to build a new automaton, which the next text does.
import { CharTrie } from './char-trie.ts'
import { wildcardHolds } from '../conditions.ts'

interface Wildcard<T> {
  pieces: readonly string[]
  value: T
  /** how many texts between stars have been found in the present text */
  found: number
  gone: boolean
}

interface Piece<T> {
  text: string
  /** wildcards that begin with it behind their first star, by the length of what stands before that star */
  starters: Wildcard<T>[]
  /** the text for which the rest is */
  pass: number
  nextStarter: number
  waiting: Wildcard<T>[]
  since: number[]
  nextWaiting: number
}

const maxFresh = 64

/** The middle texts of a wildcard: those that have to be searched for. */
export function searched(pieces: readonly string[]): readonly string[] {
  return pieces.slice(1, -1)
}

class Automaton<T> {
  readonly #trie: CharTrie<Piece<T>>
  readonly #pieces = new Map<string, Piece<T>>()
  /** by node: the longest other beginning that the text up to here ends with */
  readonly #fallback: Int32Array
  /** by node: the nearest node at which a piece ends, itself or along the fallbacks; 0: none */
  readonly #ending: Int32Array
  readonly #shorter: Int32Array
  readonly #first = new Int32Array(128)
  #passes = 0

  constructor(wildcards: readonly Wildcard<T>[]) {
    const texts = new Set(wildcards.flatMap(wildcard => searched(wildcard.pieces)))
    this.#trie = new CharTrie([...texts].reduce((sum, text) => sum + text.length, 0))
    for (const text of texts) this.#piece(text)
    for (const wildcard of wildcards) this.#pieces.get(wildcard.pieces[1]!)!.starters.push(wildcard)
    for (const { starters } of this.#pieces.values())
      starters.sort((a, b) => a.pieces[0]!.length - b.pieces[0]!.length)
    const nodes = this.#trie.ends.length
    this.#fallback = new Int32Array(nodes)
    this.#ending = new Int32Array(nodes)
    this.#shorter = new Int32Array(nodes)
    this.#link()
  }

  #piece(text: string): void {
    const piece: Piece<T> = {
      text,
      starters: [],
      pass: 0,
      nextStarter: 0,
      waiting: [],
      since: [],
      nextWaiting: 0,
    }
    this.#pieces.set(text, piece)
    this.#trie.add(text, piece)
  }

  #link(): void {
    const { parents, units, ends } = this.#trie
    const byDepth = inOrderOfDepth(parents)
    for (const node of byDepth) {
      const parent = parents[node]!
      const unit = units[node]!
      if (parent === 0 && unit < 128) this.#first[unit] = node
      const back = parent === 0 ? 0 : this.#step(this.#fallback[parent]!, unit)
      this.#fallback[node] = back
      this.#shorter[node] = this.#ending[back]!
      this.#ending[node] = ends[node] === undefined ? this.#ending[back]! : node
    }
  }

  #step(from: number, unit: number): number {
    let node = from
    while (node !== 0) {
      const next = this.#trie.next(node, unit)
      if (next !== -1) return next
      node = this.#fallback[node]!
    }
    return unit < 128 ? this.#first[unit]! : Math.max(0, this.#trie.next(0, unit))
  }

  /** The values of all wildcards that fit a text. */
  visit(text: string, emit: (value: T) => void): void {
    this.#passes++
    let node = 0
    for (let index = 0; index < text.length; index++) {
      node = this.#step(node, text.charCodeAt(index))
      for (let at = this.#ending[node]!; at !== 0; at = this.#shorter[at]!)
        this.#occurs(this.#trie.ends[at]![0]!, text, index + 1, emit)
    }
  }

  #fresh(piece: Piece<T>): void {
    piece.pass = this.#passes
    piece.nextStarter = 0
    piece.waiting.length = 0
    piece.since.length = 0
    piece.nextWaiting = 0
  }

  #occurs(piece: Piece<T>, text: string, end: number, emit: (value: T) => void): void {
    if (piece.pass !== this.#passes) this.#fresh(piece)
    const start = end - piece.text.length
    while (piece.nextWaiting < piece.waiting.length && piece.since[piece.nextWaiting]! <= start)
      this.#advance(piece.waiting[piece.nextWaiting++]!, text, end, emit)
    const { starters } = piece
    while (piece.nextStarter < starters.length && starters[piece.nextStarter]!.pieces[0]!.length <= start) {
      const wildcard = starters[piece.nextStarter++]!
      if (wildcard.gone || !text.startsWith(wildcard.pieces[0]!) || !text.endsWith(wildcard.pieces.at(-1)!))
        continue
      wildcard.found = 0
      this.#advance(wildcard, text, end, emit)
    }
  }

  #advance(wildcard: Wildcard<T>, text: string, end: number, emit: (value: T) => void): void {
    const { pieces } = wildcard
    const next = ++wildcard.found + 1
    if (next < pieces.length - 1) {
      const piece = this.#pieces.get(pieces[next]!)!
      if (piece.pass !== this.#passes) this.#fresh(piece)
      piece.waiting.push(wildcard)
      piece.since.push(end)
    } else if (end + pieces[next]!.length <= text.length) emit(wildcard.value)
  }
}

/** All nodes but the first, those that are nearer to it before those that are farther. */
function inOrderOfDepth(parents: readonly number[]): Int32Array {
  const depths = new Int32Array(parents.length)
  const places = [0, 0]
  for (let node = 1; node < parents.length; node++) {
    const depth = depths[parents[node]!]! + 1
    depths[node] = depth
    places[depth + 1] = (places[depth + 1] ?? 0) + 1
  }
  for (let depth = 1; depth < places.length; depth++) places[depth]! += places[depth - 1]!
  const ordered = new Int32Array(parents.length - 1)
  for (let node = 1; node < parents.length; node++) ordered[places[depths[node]!]!++] = node
  return ordered
}

export class Wildcards<T> {
  #automaton: Automaton<T> | undefined
  /** those that the automaton knows */
  #built: Wildcard<T>[] = []
  #fresh: Wildcard<T>[] = []
  #gone = 0
  readonly #of = new Map<T, Wildcard<T>[]>()

  get size(): number {
    return this.#built.length - this.#gone + this.#fresh.length
  }

  /** pieces: at least three, so that something is to be searched for. */
  add(pieces: readonly string[], value: T): void {
    const wildcard: Wildcard<T> = { pieces, value, found: 0, gone: false }
    const own = this.#of.get(value)
    if (own === undefined) this.#of.set(value, [wildcard])
    else own.push(wildcard)
    this.#fresh.push(wildcard)
  }

  removeAll(value: T): void {
    for (const wildcard of this.#of.get(value) ?? []) {
      const at = this.#fresh.indexOf(wildcard)
      if (at >= 0) this.#fresh.splice(at, 1)
      else {
        wildcard.gone = true
        this.#gone++
      }
    }
    this.#of.delete(value)
  }

  #build(): void {
    this.#built = [...this.#built.filter(wildcard => !wildcard.gone), ...this.#fresh]
    this.#fresh = []
    this.#gone = 0
    this.#automaton = new Automaton(this.#built)
  }

  /** The values of all wildcards that fit a text. */
  visit(text: string, emit: (value: T) => void): void {
    if (this.#fresh.length > maxFresh || this.#gone > maxFresh + this.#built.length / 2) this.#build()
    for (const { pieces, value } of this.#fresh) if (wildcardHolds(pieces, text)) emit(value)
    this.#automaton?.visit(text, emit)
  }
}
