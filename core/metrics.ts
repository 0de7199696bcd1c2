import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export interface CounterMetric {
  add(labels?: Record<string, string>, amount?: number): void
}
export interface GaugeMetric {
  set(value: number, labels?: Record<string, string>): void
}
export interface HistogramMetric {
  observe(value: number, labels?: Record<string, string>): void
}

/**
 * Where a process counts what it does. Names follow Prometheus: base unit last (`_seconds`, `_bytes`, `_total`).
 * A label value must come from a small fixed set; never an address, host name, path or hash.
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): CounterMetric
  gauge(name: string, help: string, labels?: readonly string[]): GaugeMetric
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): HistogramMetric
  /** The Prometheus text exposition format 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
}

/** Metrics of one process. `defaults` adds the runtime's own (memory, event loop, garbage collection). */
export function createMetrics(options: { defaults?: boolean } = {}): Metrics {
  const registry = new Registry()
  if (options.defaults) collectDefaultMetrics({ register: registry })
  const registers = [registry]
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counter(name, help, labels = []) {
      const metric = new Counter({ name, help, labelNames: [...labels], registers })
      return { add: (values = {}, amount = 1) => metric.inc(values, amount) }
    },
    gauge(name, help, labels = []) {
      const metric = new Gauge({ name, help, labelNames: [...labels], registers })
      return { set: (value, values = {}) => metric.set(values, value) }
    },
    histogram(name, help, buckets, labels = []) {
      const metric = new Histogram({ name, help, buckets: [...buckets], labelNames: [...labels], registers })
      return { observe: (value, values = {}) => metric.observe(values, value) }
    },
  }
}
