/**
 * Runs at most one `work` per key at a time; callers that arrive meanwhile share its result or its error.
 * Nothing is remembered after it settles: a cache, where wanted, stands in front.
 */
export class SingleFlight<Key, Value> {
  #flights = new Map<Key, Promise<Value>>()

  run(key: Key, work: () => Promise<Value>): Promise<Value> {
    const running = this.#flights.get(key)
    if (running) return running
    const flight = work().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }
}
