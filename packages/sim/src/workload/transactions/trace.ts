/**
 * What is known of every transaction of a run: what it was asked to do, what its reads were answered, at which timestamps
 * it was promised, and what its client was told of its end. Written by workloads and the witness; judged at the end.
 */
import type { IsolationLevel } from '@flotilla/sql/protocol';
import type { TransactionWorkload } from '../../swarm.ts';

/** `open`: not ended when its coordinator died, and its commit had not begun. */
export type Fate = 'open' | 'committed' | 'aborted' | 'unknown';

/** Keys are latin-1 strings of their bytes: they compare as the bytes do. */
export interface ReadTrace {
  readonly key: string;
  /** Timestamp of the version; 0 = absent. Undefined: a program has read `value`, and was not told. */
  readonly version: number | undefined;
  readonly value?: string | undefined;
  /** The snapshot. Of a locked read, when this was the newest version. */
  readonly at: number;
  readonly locked: boolean;
  /** Whatever was acknowledged before must be seen. True time. */
  readonly askedAt: number;
  /**
   * Nobody was shown it: the snapshot moved while it was on its way, and it was repeated. It says nothing of the commit, but
   * it must be what was there at its time.
   */
  dropped?: boolean;
}

export interface SpanTrace {
  readonly startKey: string;
  readonly endKey: string;
  /** Versions by key: all that the span had. */
  readonly rows: ReadonlyMap<string, number>;
  readonly at: number;
  readonly askedAt: number;
}

export class TransactionTrace {
  /** Unique. What it writes begins with it. */
  readonly name: string;
  readonly client: string;
  readonly workload: TransactionWorkload | 'past';
  readonly isolation: IsolationLevel;
  /** True time. */
  readonly beganAt: number;
  /** When its client heard of the end; Infinity: never. */
  endedAt: number = Number.POSITIVE_INFINITY;
  fate: Fate = 'open';
  /** Commit has been called. */
  committing = false;
  /** When the statement under way began. */
  statementAt: number;
  readonly reads: ReadTrace[] = [];
  readonly spans: SpanTrace[] = [];
  /** Keys, and whether they are deleted. Complete when the commit begins. */
  readonly writes: Map<string, 'put' | 'delete'> = new Map();
  /** The timestamp that it was told to have; 0 = none. */
  toldTimestamp = 0;

  constructor(options: {
    readonly name: string;
    readonly client: string;
    readonly workload: TransactionWorkload | 'past';
    readonly isolation: IsolationLevel;
    readonly beganAt: number;
  }) {
    this.name = options.name;
    this.client = options.client;
    this.workload = options.workload;
    this.isolation = options.isolation;
    this.beganAt = options.beganAt;
    this.statementAt = options.beganAt;
  }

  /** Reads of a snapshot see what was there when it may have been taken first. */
  get seesFrom(): number {
    return this.isolation === 'read committed' ? this.statementAt : this.beganAt;
  }

  /**
   * Of answers since the `from`th that differ about a key, those other than what was shown were dropped.
   * @param shown texts by key; undefined: absent
   */
  onShown(from: number, shown: ReadonlyMap<string, string | undefined>): void {
    const since = this.reads.slice(from).filter(({ locked }) => !locked);
    for (const [key, value] of shown) {
      const answers = since.filter((read) => read.key === key);
      const others = answers.filter((read) => read.value !== value);
      // Its own writes are shown in place of what stores have answered.
      if (others.length < answers.length) for (const read of others) read.dropped = true;
    }
  }

  end(fate: Fate, at: number): void {
    this.fate = fate;
    this.endedAt = at;
  }

  /** For people. */
  toString(): string {
    const { workload, isolation, fate, beganAt, endedAt } = this;
    const level = isolation === 'serializable' ? '' : ` ${isolation}`;
    return `${this.name} (${workload}${level}, ${fate}, ${beganAt.toFixed(1)}–${endedAt.toFixed(1)} ms)`;
  }
}

export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

/** For people: the name of a key without what spreads it over the ranges. */
export function printKey(text: string): string {
  return JSON.stringify(text.slice(2));
}
