import { SeededPrng } from '@flotilla/base';
import type { KvTransaction } from '@flotilla/sql/protocol';
import { describe, expect, it } from 'vitest';
import { Record } from '../record.ts';
import { Bank } from './bank.ts';
import { Predicate } from './predicate.ts';
import { Registers } from './registers.ts';
import { Ring } from './ring.ts';
import { Session } from './session.ts';
import { Skew } from './skew.ts';
import { keyText, TransactionTrace } from './trace.ts';
import type { Workload } from './workload.ts';

/** A state without concurrency, which tests change behind the workload's back. */
class State {
  readonly values = new Map<string, string>();
  private made = 0;

  session(): Session {
    const trace = new TransactionTrace({
      name: `t${++this.made}`,
      client: 'c',
      workload: 'bank',
      isolation: 'serializable',
      beganAt: this.made,
    });
    const { values } = this;
    const get = async (key: Uint8Array): Promise<Uint8Array | undefined> => {
      const value = values.get(keyText(key));
      return value === undefined ? undefined : Buffer.from(value);
    };
    const put = (key: Uint8Array, value: Uint8Array): void => {
      values.set(keyText(key), Buffer.from(value).toString());
    };
    const transaction: Partial<KvTransaction> = {
      get,
      getMany: ((keys: readonly Uint8Array[]) =>
        Promise.all(keys.map(get))) as unknown as KvTransaction['getMany'],
      evaluateKeys: () => undefined,
      async *scan({ startKey, endKey }) {
        const [start, end] = [keyText(startKey), keyText(endKey)];
        for (const [key, value] of [...values].sort())
          if (start <= key && key < end)
            yield [{ key: Buffer.from(key, 'latin1'), value: Buffer.from(value) }];
      },
      put,
      insert: put,
      delete: (key) => void values.delete(keyText(key)),
      beginStatement: () => {},
    };
    return new Session({
      transaction: transaction as KvTransaction,
      trace,
      swarm: {
        coordinators: 1,
        workers: 1,
        workloads: [],
        keys: 5,
        readCommittedShare: 0,
        lockShare: 0,
        thinkMsMax: 0,
        brisk: 0,
      },
      prng: new SeededPrng(this.made),
      now: () => 0,
      pause: async () => {},
    });
  }

  /** The first or last value whose key has `kind` in it, with another payload. */
  change(kind: string, payload: (before: string) => string, all = false): void {
    for (const [key, value] of this.values) {
      if (!key.includes(kind)) continue;
      this.values.set(key, `someone|${payload(value.split('|')[1] ?? '')}`);
      if (!all) return;
    }
  }
}

async function after(workload: Workload, damage: (state: State) => void): Promise<string> {
  const state = new State();
  await workload.setUp(state.session());
  for (let i = 0; i < 60; i++) await workload.step(state.session());
  await workload.look(state.session());
  damage(state);
  return workload.look(state.session()).then(
    () => 'holds',
    (error: unknown) => (error as Error).message,
  );
}

describe('a workload of transactions', () => {
  it.each<[string, () => Workload, (state: State) => void, RegExp]>([
    [
      'a bank: money is lost',
      () => new Bank(5),
      (s) => s.change('xb', (n) => `${+n - 1}`),
      /are 499/,
    ],
    ['a bank: an account is lost', () => new Bank(5), (s) => s.values.clear(), /missing/],
    ['a pair: both are on', () => new Skew(4), (s) => s.change('xs', () => 'on', true), /both/],
    ['a ring: it is cut short', () => new Ring(5), (s) => s.change('xr', () => '0'), /the ring is/],
    ['a ring: a member is lost', () => new Ring(5), (s) => s.values.clear(), /names undefined/],
    [
      'a predicate: a row too many',
      () => new Predicate(3),
      (state) => {
        const [key = ''] = state.values.keys();
        for (const n of [20, 21, 22, 23]) state.values.set(`${key}${n}`, 's|row');
      },
      /where 3 may be/,
    ],
  ])('%s', async (_name, make, damage, message) => {
    expect(await after(make(), () => {})).toBe('holds');
    expect(await after(make(), damage)).toMatch(message);
  });

  it('registers: what a transaction reads or expects and sets is in the history of its key', async () => {
    const record = new Record();
    const registers = new Registers(record, 2);
    const state = new State();
    for (let i = 0; i < 80; i++) {
      const session = state.session();
      await registers.step(session);
      session.trace.end('committed', session.trace.beganAt + 0.5);
      registers.ended(session);
    }
    expect(record.checkKeys()).toBeGreaterThan(60);
    for (let i = 0; i < 10; i++) {
      for (const key of state.values.keys()) state.values.set(key, 'of nobody');
      const session = state.session();
      await registers.step(session);
      session.trace.end('committed', session.trace.beganAt + 0.5);
      registers.ended(session);
    }
    expect(() => record.checkKeys()).toThrow('no order');
  });
});
