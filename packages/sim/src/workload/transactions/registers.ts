/**
 * Transactions on the registers that clients read and write outside of transactions too: what all of them saw of a key is
 * one history, and must be what a single copy would have shown. A transaction is a write, or a compare-and-set.
 */

import { nameToKey } from '../client.ts';
import type { KeyInput, Value } from '../key-history.ts';
import type { Record } from '../record.ts';
import type { Session } from './session.ts';
import { someOf, violated, type Workload } from './workload.ts';

interface Done {
  readonly key: string;
  readonly input: KeyInput;
  /** Of a read. */
  readonly value?: Value;
  /** When the value that a compare-and-set expects had been read. */
  readonly readAt?: number;
}

export class Registers implements Workload {
  private readonly record: Record;
  private readonly keys: number;
  private readonly doing = new Map<Session, Done[]>();

  /** @param keys of the clients' own workload */
  constructor(record: Record, keys: number) {
    this.record = record;
    this.keys = keys;
  }

  async setUp(): Promise<void> {}

  async step(session: Session): Promise<void> {
    const { prng, trace } = session;
    const done: Done[] = [];
    this.doing.set(session, done);
    session.statement();
    const dice = prng.nextBelow(100);
    const key = `k${prng.nextBelow(this.keys)}`;
    if (dice < 45) {
      const expected = await session.get(nameToKey(key), session.mayLock());
      const readAt = session.now();
      await session.dawdle();
      done.push({ key, input: { kind: 'cas', expected, value: trace.name }, readAt });
      session.putRaw(nameToKey(key), trace.name);
    } else if (dice < 60) {
      done.push({ key, input: { kind: 'write', value: trace.name } });
      session.putRaw(nameToKey(key), trace.name);
    } else if (dice < 70) {
      for (const pair of ['p0', 'q0']) {
        done.push({ key: pair, input: { kind: 'write', value: trace.name } });
        session.putRaw(nameToKey(pair), trace.name);
      }
    } else if (dice < 80) {
      const [p, q] = await this.read(session, ['p0', 'q0'], done);
      if (p !== q) throw violated(session, `p0 = ${p} and q0 = ${q}`);
    } else {
      const names = someOf(prng, this.keys, Math.min(3, this.keys)).map((n) => `k${n}`);
      await this.read(session, names, done);
    }
  }

  async look(): Promise<void> {}

  ended(session: Session): void {
    const { trace } = session;
    const done = this.doing.get(session) ?? [];
    this.doing.delete(session);
    if (trace.fate !== 'committed' && trace.fate !== 'unknown') return;
    for (const { key, input, value, readAt } of done) {
      const history = this.record.key(key);
      const operation = { process: trace.name, input, calledAt: trace.beganAt };
      if (trace.fate === 'unknown') {
        if (input.kind !== 'read') history.add({ ...operation, result: { kind: 'unknown' } });
        // It has seen what it expected, whatever became of it.
        if (input.kind === 'cas' && readAt !== undefined)
          history.add({
            ...operation,
            input: { kind: 'read' },
            result: {
              kind: 'ok',
              output: { kind: 'value', value: input.expected },
              returnedAt: readAt,
            },
          });
        continue;
      }
      if (input.kind !== 'read' && input.value !== undefined && trace.toldTimestamp > 0)
        history.learn(key, trace.toldTimestamp, input.value);
      const output =
        input.kind === 'read'
          ? { kind: 'value' as const, value }
          : input.kind === 'cas'
            ? { kind: 'cas' as const, applied: true, foundTimestamp: 0 }
            : { kind: 'written' as const };
      history.add({ ...operation, result: { kind: 'ok', output, returnedAt: trace.endedAt } });
    }
  }

  private async read(
    session: Session,
    names: readonly string[],
    done: Done[],
  ): Promise<readonly Value[]> {
    const values = await session.getMany(names.map(nameToKey));
    for (const [i, key] of names.entries())
      done.push({ key, input: { kind: 'read' }, value: values[i] });
    return values;
  }
}
