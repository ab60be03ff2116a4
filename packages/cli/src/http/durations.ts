/** A histogram that somebody else counts: `Buckets` in milliseconds, shown in Prometheus' form, in seconds. */
import type { Buckets } from '@flotilla/base';
import {
  Histogram,
  type MetricObjectWithValues,
  type MetricValueWithName,
  type Registry,
} from 'prom-client';

export class Durations extends Histogram {
  private readonly facts: { readonly name: string; readonly help: string };
  private readonly empty: Histogram;
  private readonly source: () => Buckets | undefined;

  constructor(
    facts: { readonly name: string; readonly help: string; readonly registry: Registry },
    source: () => Buckets | undefined,
  ) {
    const { name, help, registry } = facts;
    super({ name, help, registers: [registry] });
    this.facts = facts;
    this.empty = new Histogram({ name, help, registers: [] });
    this.source = source;
  }

  /** What the registry asks of histograms for its text. */
  getForPromString(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    return this.get();
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { name, help } = this.facts;
    // What a histogram without observations says of itself.
    const described = await this.empty.get();
    const values: MetricValueWithName<string>[] = [];
    const add = (suffix: string, value: number, labels: Record<string, string | number> = {}) =>
      void values.push({ metricName: `${name}_${suffix}`, value, labels });
    const buckets = this.source();
    if (buckets !== undefined) {
      let below = 0;
      for (const [i, bound] of buckets.bounds.entries()) {
        below += buckets.counts[i] ?? 0;
        add('bucket', below, { le: bound / 1000 });
      }
      add('bucket', buckets.count, { le: '+Inf' });
      add('sum', buckets.sum / 1000);
      add('count', buckets.count);
    }
    return { ...described, name, help, values };
  }
}
