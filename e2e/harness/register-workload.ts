/** Readers and writers of a few keys through the SDK, and the history of what each of them saw. */
import { DbError, type Flotilla } from '@flotilla/client';
import type { RegisterInput, RegisterOperation, RegisterOutput } from '@flotilla/client/testing';
import { sleep } from './eventually.ts';

export interface RegisterWorkloadOptions {
  readonly client: Flotilla;
  readonly keys: readonly string[];
  readonly writersPerKey: number;
  readonly readersPerKey: number;
  /** Between the operations of one process. */
  readonly pauseMs: number;
}

export class RegisterWorkload {
  /** One history per key. */
  readonly histories: Map<string, RegisterOperation[]> = new Map();
  /** When a write was acknowledged, by `performance.now()`. */
  readonly acknowledgedAt: number[] = [];
  readonly failures: Map<string, number> = new Map();
  private readonly options: RegisterWorkloadOptions;
  private readonly processes: Promise<void>[] = [];
  private stopping = false;

  constructor(options: RegisterWorkloadOptions) {
    this.options = options;
    for (const key of options.keys) {
      this.histories.set(key, []);
      for (let i = 0; i < options.writersPerKey; i++) this.processes.push(this.write(key, i));
      for (let i = 0; i < options.readersPerKey; i++) this.processes.push(this.read(key, i));
    }
  }

  /** Adds what somebody else saw of a key. */
  add(key: string, operation: RegisterOperation): void {
    this.histories.get(key)?.push(operation);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.processes);
  }

  private async write(key: string, index: number): Promise<void> {
    for (let n = 0; !this.stopping; n++) {
      const value = `${index}-${n}`;
      await this.record(key, `writer ${index}`, { kind: 'write', value }, async () => {
        await this.options.client.kv.put(key, value);
        this.acknowledgedAt.push(performance.now());
        return { kind: 'written' };
      });
      await sleep(this.options.pauseMs);
    }
  }

  private async read(key: string, index: number): Promise<void> {
    while (!this.stopping) {
      await this.record(key, `reader ${index}`, { kind: 'read' }, async () => {
        const entry = await this.options.client.kv.get(key);
        return { kind: 'value', value: entry?.text() };
      });
      await sleep(this.options.pauseMs);
    }
  }

  private async record(
    key: string,
    process: string,
    input: RegisterInput,
    perform: () => Promise<RegisterOutput>,
  ): Promise<void> {
    const calledAt = performance.now();
    try {
      const output = await perform();
      const returnedAt = performance.now();
      this.add(key, { process, input, calledAt, result: { kind: 'ok', output, returnedAt } });
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
      if (error.outcome === 'unknown' && input.kind !== 'read')
        this.add(key, { process, input, calledAt, result: { kind: 'unknown' } });
    }
  }
}
