/**
 * Gets that lock: the newest versions of keys, under locks that are taken first. What may still become the newest is waited
 * for, or skipped where that is wanted.
 */
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { busyRefusal, RefusalReason, refusal } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import { type Intent, nameOf } from '../state/transaction-rows.ts';
import { lockOwnerOf } from '../transaction/obstacles.ts';
import type { Outcome, Read, ReadAttempts } from './read-attempts.ts';
import { checkKeys } from './read-bounds.ts';
import { announcedOn, obstacleOn } from './read-obstacles.ts';
import type { Reads, ReadsOptions } from './reads.ts';

type GetRequest = flotilla.kv.GetRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noBytes = Buffer.alloc(0);

export function locks({ lock }: GetRequest): boolean {
  return lock === kv.LockMode.LOCK_SHARE || lock === kv.LockMode.LOCK_EXCLUSIVE;
}

export class LockedGets {
  private readonly options: Pick<ReadsOptions, 'limits' | 'answers'>;
  private readonly reads: Reads;
  private readonly attempts: ReadAttempts;

  constructor(
    options: Pick<ReadsOptions, 'limits' | 'answers'>,
    reads: Reads,
    attempts: ReadAttempts,
  ) {
    this.options = options;
    this.reads = reads;
    this.attempts = attempts;
  }

  /** One try on the state of this moment. */
  attempt(
    read: Read,
    leaseholder: Leaseholder,
    request: GetRequest,
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { limits, answers } = this.options;
    const keys = request.keys ?? [];
    const refused = checkKeys(replica, keys, limits);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const { locks, context } = leaseholder;
    const storeTimestamp = context.hlc.now();
    const owner = lockOwnerOf(header);
    const wish = request.lock === kv.LockMode.LOCK_SHARE ? 'share' : 'exclusive';
    const skips = request.wait === kv.LockWait.LOCK_SKIP_LOCKED;
    const skipped = new Set<number>();
    const announced = new Map<number, Intent>();
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? noBytes;
      const name = nameOf(key);
      const before = locks.holds(name, owner.name);
      if (!locks.take(name, owner, wish)) {
        if (!locks.has(name))
          return { kind: 'refused', answer: busyRefusal(limits, 'too many locks') };
        if (skips) skipped.add(i);
        else if (request.wait === kv.LockWait.LOCK_NOWAIT)
          return {
            kind: 'refused',
            answer: refusal(RefusalReason.LOCK_NOT_AVAILABLE, 'the key is locked', {
              ...locks.blockers(name, owner, wish),
              key,
            }),
          };
        else return this.attempts.queued(read, leaseholder, { name, owner, wish });
        continue;
      }
      const waits = obstacleOn(leaseholder, key, owner.name, Infinity);
      if (waits === undefined) continue;
      const intent = announcedOn(leaseholder, key, owner.name);
      if (intent !== undefined) {
        announced.set(i, intent);
        continue;
      }
      if (!skips) return waits;
      if (!before) locks.release(name, owner.name);
      skipped.add(i);
    }
    const answer = this.reads.valuesOf(replica, keys);
    const { get } = answer;
    if (get?.values) {
      for (const i of skipped) get.values[i] = { skipped: true };
      for (const [i, { value, timestamp }] of announced)
        get.values[i] = { present: true, value, timestamp };
      get.storeTimestamp = storeTimestamp;
    }
    return { kind: 'taken', finish: () => answers.send(caller, answer) };
  }
}
