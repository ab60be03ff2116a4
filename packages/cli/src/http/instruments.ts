/** Ways to show in a registry what others count: looked up when it is asked for. What is undefined is left out. */
import type { Buckets } from '@flotilla/base';
import { Counter, Gauge, type Registry } from 'prom-client';
import { Durations } from './durations.ts';

type Labelled = Iterable<readonly [label: string, value: number]>;

export class Instruments {
  private readonly registry: Registry;

  constructor(registry: Registry) {
    this.registry = registry;
  }

  gauge(name: string, help: string, value: () => number | undefined): void {
    const metric: Gauge = new Gauge({
      ...{ name, help, registers: [this.registry] },
      collect: () => {
        const now = value();
        if (now === undefined) metric.remove();
        else metric.set(now);
      },
    });
  }

  counter(name: string, help: string, total: () => number | undefined): void {
    const metric: Counter = new Counter({
      ...{ name, help, registers: [this.registry] },
      collect: () => {
        const now = total();
        metric.remove();
        if (now !== undefined) metric.inc(now);
      },
    });
  }

  /** @param label its name; it must have few values */
  counters(
    { name, help, label }: { readonly name: string; readonly help: string; readonly label: string },
    totals: () => Labelled | undefined,
  ): void {
    const metric: Counter = new Counter({
      ...{ name, help, labelNames: [label], registers: [this.registry] },
      collect: () => {
        metric.reset();
        for (const [value, total] of totals() ?? []) metric.inc({ [label]: value }, total);
      },
    });
  }

  durations(name: string, help: string, source: () => Buckets | undefined): void {
    new Durations({ name, help, registry: this.registry }, source);
  }
}
