/**
 * List-append: transactions read lists and append values that nobody else appends. What a list shows is the order of all
 * writes before it, so the history tells who depends on whom (`checkListAppend`).
 */
import type { ListOperation, ListTransaction } from '@flotilla/client/testing';
import { keyOf } from '../../cluster/ranges.ts';
import type { Session } from './session.ts';
import type { TransactionTrace } from './trace.ts';
import type { Workload } from './workload.ts';

/** Values after which a list is only read: longer lists cost more and tell no more. */
const valuesMax = 80;

export class Lists implements Workload {
  private readonly keys: readonly Buffer[];
  private readonly operations = new Map<TransactionTrace, ListOperation[]>();
  private made = 0;

  constructor(count: number) {
    this.keys = Array.from({ length: count }, (_, n) => keyOf('xl', n));
  }

  async setUp(): Promise<void> {}

  async step(session: Session): Promise<void> {
    const { prng } = session;
    const operations = this.begin(session);
    if (prng.nextBelow(4) === 0 && (await this.growOne(session, operations))) return;
    const steps = 1 + prng.nextBelow(4);
    for (let i = 0; i < steps; i++) {
      const n = prng.nextBelow(this.keys.length);
      const key = this.keys[n] as Buffer;
      session.statement();
      const values = listOf(await session.get(key, session.mayLock()));
      if (prng.nextBelow(2) === 0 || values.length >= valuesMax) {
        operations.push({ kind: 'read', key: `l${n}`, values });
      } else {
        const value = ++this.made;
        operations.push({ kind: 'append', key: `l${n}`, value });
        session.put(key, [...values, value].join(','));
      }
      await session.dawdle();
    }
  }

  async look(session: Session): Promise<void> {
    const operations = this.begin(session);
    const found = await session.getMany(this.keys);
    for (const [n, text] of found.entries())
      operations.push({ kind: 'read', key: `l${n}`, values: listOf(text) });
  }

  /** Of all transactions, in order of their beginnings. */
  history(): readonly ListTransaction[] {
    return [...this.operations].map(([trace, operations]) => ({
      name: trace.name,
      operations,
      outcome: trace.fate === 'open' ? 'aborted' : trace.fate,
      isolation: trace.isolation,
      process: trace.client,
      calledAt: trace.beganAt,
      returnedAt: trace.endedAt,
    }));
  }

  /** An append by itself, made where the list lies. @returns false: it was not to be had that way */
  private async growOne(session: Session, operations: ListOperation[]): Promise<boolean> {
    const n = session.prng.nextBelow(this.keys.length);
    const value = ++this.made;
    operations.push({ kind: 'append', key: `l${n}`, value });
    if (await session.growWhereItLies(this.keys[n] as Buffer, String(value))) return true;
    operations.pop();
    return false;
  }

  private begin(session: Session): ListOperation[] {
    const operations: ListOperation[] = [];
    this.operations.set(session.trace, operations);
    return operations;
  }
}

function listOf(text: string | undefined): number[] {
  return (text ?? '').split(',').filter(Boolean).map(Number);
}
