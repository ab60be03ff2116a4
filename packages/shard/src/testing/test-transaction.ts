/**
 * A coordinator for tests of stores: one transaction at a time over a `TestClient`, written for plainness. Reads a snapshot,
 * buffers writes, commits in one command where one range will do and by prepares where not; recovers whatever is in its
 * way. Says what it saw, so that a test can check it against the order of commit timestamps.
 */
import {
  asBuffer,
  assert,
  type HybridLogicalClock,
  type Prng,
  present,
  toTimestamp,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { TestClient } from './test-client.ts';

type Request = flotilla.kv.Request.$Properties;
type Response = flotilla.kv.Response;
type ReadCheck = flotilla.kv.ReadCheck.$Properties;
type Mutation = flotilla.kv.Mutation.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const Reason = flotilla.kv.RefusalReason;
const Status = flotilla.kv.TransactionStatus;
const uncertaintyMs = 250;

/** The transaction cannot go on; nothing of it was or will be committed. */
export class TransactionFailed extends Error {}

export interface TestTransactionOptions {
  readonly client: TestClient;
  readonly hlc: HybridLogicalClock;
  readonly prng: Prng;
  /** Per request, retries included. */
  readonly timeoutMs?: number;
}

export interface SeenRead {
  readonly startKey: string;
  /** Undefined: one key. */
  readonly endKey: string | undefined;
  /** What was there, by key. */
  readonly rows: readonly (readonly [string, string])[];
}

export class TestTransaction {
  readonly id: Buffer;
  readonly reads: SeenRead[] = [];
  readonly writes: Map<string, string | undefined> = new Map();
  readTimestamp = 0;
  private hasRead = false;
  private readonly options: TestTransactionOptions;
  private readonly startedAt: number;
  private readonly checks: ReadCheck[] = [];
  private readonly limit: number;

  constructor(options: TestTransactionOptions) {
    this.options = options;
    const { prng, hlc } = options;
    this.id = Buffer.alloc(16);
    for (let i = 0; i < 4; i++) this.id.writeUInt32BE(prng.nextUint32(), 4 * i);
    this.startedAt = hlc.now();
    this.limit = this.startedAt + uncertaintyMs * 4096;
  }

  async get(key: string): Promise<string | undefined> {
    const bytes = Buffer.from(key);
    const response = await this.read(bytes, { get: { keys: [bytes] } });
    const value = response.get?.values?.[0];
    const found = value?.present ? asBuffer(value.value ?? Buffer.alloc(0)).toString() : undefined;
    const rows = found === undefined ? [] : ([[key, found]] as const);
    this.reads.push({ startKey: key, endKey: undefined, rows });
    this.checks.push({ startKey: bytes, since: this.readTimestamp });
    return found;
  }

  /** A span inside one range. */
  async scan(startKey: string, endKey: string, reverse = false): Promise<SeenRead['rows']> {
    const rows: (readonly [string, string])[] = [];
    let span: { startKey: Buffer; endKey: Buffer } = {
      startKey: Buffer.from(startKey),
      endKey: Buffer.from(endKey),
    };
    for (;;) {
      const { scan } = await this.read(span.startKey, { scan: { ...span, reverse, maxRows: 2 } });
      for (const { key, value } of scan?.rows ?? [])
        rows.push([
          asBuffer(present(key, 'key')).toString(),
          asBuffer(value ?? Buffer.alloc(0)).toString(),
        ]);
      const resume = asBuffer(scan?.resumeKey ?? Buffer.alloc(0));
      if (resume.length === 0) break;
      span = reverse ? { ...span, endKey: resume } : { ...span, startKey: resume };
      if (span.startKey.compare(span.endKey) >= 0) break;
    }
    if (reverse) rows.reverse();
    this.reads.push({ startKey, endKey, rows });
    this.checks.push({
      startKey: Buffer.from(startKey),
      endKey: Buffer.from(endKey),
      since: this.readTimestamp,
    });
    return rows;
  }

  put(key: string, value: string | undefined): void {
    this.writes.set(key, value);
  }

  /**
   * @param abandon called before every step of a commit by prepares: true = the coordinator dies here
   * @returns the commit timestamp; undefined = nobody knows here
   * @throws TransactionFailed
   */
  async commit(abandon: () => boolean = () => false): Promise<number | undefined> {
    const groups = this.groups();
    const writing = groups.filter(({ mutations }) => mutations.length > 0);
    if (writing.length === 0) return this.readTimestamp;
    const [first] = writing;
    if (groups.length === 1 && first !== undefined) return this.commitInOne(first);
    return this.commitByPrepares(groups, abandon);
  }

  /** What became of a transaction whose coordinator has died. @returns its commit timestamp; 0 = aborted */
  async outcome(client: TestClient): Promise<number> {
    const [first] = this.writes.keys();
    const anchorKey = Buffer.from(present(first, 'a written key'));
    await recoverTransaction(client, { key: anchorKey, transactionId: this.id, anchorKey });
    const range = client.rangeOf(anchorKey);
    const query = { transactionId: this.id, anchorKey };
    const response = await client.ask(range, { queryTransaction: query }, 60_000);
    return response?.queryTransaction?.commitTimestamp ?? 0;
  }

  header(): TransactionHeader {
    return {
      id: this.id,
      readTimestamp: this.readTimestamp,
      uncertaintyLimit: this.limit,
      coordinator: 'test',
      startedAt: this.startedAt,
    };
  }

  /** What each range has to check and to write. */
  private groups(): Group[] {
    const { client } = this.options;
    const groups = new Map<number, Group>();
    const groupOf = (key: Uint8Array): Group => {
      const range = client.rangeOf(key);
      const group = groups.get(range.rangeId) ?? { range, mutations: [], checks: [] };
      groups.set(range.rangeId, group);
      return group;
    };
    for (const [key, value] of this.writes) {
      const bytes = Buffer.from(key);
      const mutation =
        value === undefined
          ? { key: bytes, isDelete: true }
          : { key: bytes, value: Buffer.from(value) };
      groupOf(bytes).mutations.push(mutation);
    }
    for (const check of this.checks)
      groupOf(present(check.startKey, 'start of a check')).checks.push(check);
    return [...groups.values()];
  }

  private async commitInOne({ mutations, checks }: Group): Promise<number> {
    const { client } = this.options;
    for (;;) {
      const response = await client.write({ mutations, readChecks: checks }, 60_000, this.header());
      if (response?.refusal) await this.recover(response);
      else {
        const { applied, timestamp } = present(response?.write, 'an outcome');
        if (!applied) throw new TransactionFailed('a read is stale');
        return timestamp ?? 0;
      }
    }
  }

  private async commitByPrepares(
    groups: readonly Group[],
    abandon: () => boolean,
  ): Promise<number | undefined> {
    const { hlc } = this.options;
    const writing = groups.filter(({ mutations }) => mutations.length > 0);
    const onlyRead = groups.filter(({ mutations }) => mutations.length === 0);
    const anchorKey = present(writing[0]?.mutations[0]?.key, 'a first key');
    const promisedKeys = writing.flatMap(({ mutations }) =>
      mutations.map(({ key }) => present(key, 'key')),
    );
    // What is only read holds at the read timestamp by itself.
    let commitTimestamp = onlyRead.length > 0 ? this.readTimestamp : hlc.now();
    for (let round = 0; ; round++) {
      let pushed = 0;
      try {
        if (round > 0) await this.refresh(onlyRead, commitTimestamp);
        for (const group of writing) {
          if (abandon()) return undefined;
          const least = await this.prepare(group, {
            anchorKey,
            commitTimestamp,
            promisedKeys: group === writing[0] ? promisedKeys : [],
            stage: group === writing[0],
          });
          pushed = Math.max(pushed, least);
        }
      } catch (error) {
        if (!(error instanceof TransactionFailed)) throw error;
        if (abandon()) return undefined;
        const decided = await this.decideAborted(anchorKey);
        if (decided !== undefined) return decided;
        await this.resolve(writing, 0);
        throw error;
      }
      if (pushed === 0) break;
      hlc.observe(toTimestamp(pushed));
      commitTimestamp = Math.max(hlc.now(), pushed);
    }
    // Some say so at once: others then write over the intents before the record is decided, if it ever is from here.
    if (this.options.prng.nextBelow(2) === 0) await this.resolve(writing, commitTimestamp, true);
    if (abandon()) return commitTimestamp;
    const { transactionId, resolveKeys } = { transactionId: this.id, resolveKeys: [anchorKey] };
    await this.ask(anchorKey, {
      decide: {
        transactionId,
        anchorKey,
        resolveKeys,
        expected: Status.TRANSACTION_STAGING,
        expectedTimestamp: commitTimestamp,
        outcome: Status.TRANSACTION_COMMITTED,
      },
    });
    if (abandon()) return commitTimestamp;
    await this.resolve(writing, commitTimestamp);
    await this.ask(anchorKey, {
      resolve: {
        resolutions: [
          { transactionId, forgetAnchorKey: anchorKey, byCoordinator: true, committed: true },
        ],
      },
    });
    return commitTimestamp;
  }

  /** @returns the timestamp that it is pushed to; 0 = the intents are laid */
  private async prepare(
    { mutations, checks }: Group,
    request: flotilla.kv.PrepareRequest.$Properties,
  ): Promise<number> {
    const key = present(mutations[0]?.key, 'a key');
    const prepare = { ...request, mutations, readChecks: checks };
    const response = await this.ask(key, { prepare, transaction: this.header() });
    const { refusal } = response;
    if (refusal?.reason === Reason.PUSHED) return refusal.timestamp ?? 0;
    if (refusal) throw new TransactionFailed(refusal.message ?? '');
    if (!response.prepare?.prepared) throw new TransactionFailed('a read is stale');
    return 0;
  }

  private async refresh(groups: readonly Group[], to: number): Promise<void> {
    for (const { checks } of groups) {
      const key = present(checks[0]?.startKey, 'a key');
      const response = await this.ask(key, { refresh: { checks, to }, transaction: this.header() });
      if (!response.refresh?.ok) throw new TransactionFailed('a refresh failed');
    }
  }

  /** @returns the commit timestamp if others have committed it */
  private async decideAborted(anchorKey: Uint8Array): Promise<number | undefined> {
    let expected: flotilla.kv.TransactionStatus = Status.TRANSACTION_NONE;
    let expectedTimestamp = 0;
    for (;;) {
      const { decide } = await this.ask(anchorKey, {
        decide: {
          transactionId: this.id,
          anchorKey,
          expected,
          expectedTimestamp,
          outcome: Status.TRANSACTION_ABORTED,
        },
      });
      if (decide?.status === Status.TRANSACTION_COMMITTED) return decide.commitTimestamp ?? 0;
      if (decide?.status === Status.TRANSACTION_ABORTED) return undefined;
      const { queryTransaction } = await this.ask(anchorKey, {
        queryTransaction: { transactionId: this.id, anchorKey },
      });
      expected = queryTransaction?.status ?? Status.TRANSACTION_NONE;
      expectedTimestamp = queryTransaction?.commitTimestamp ?? 0;
      // Somebody else was quicker.
      if (expected === Status.TRANSACTION_ABORTED) return undefined;
      if (expected === Status.TRANSACTION_COMMITTED) return expectedTimestamp;
    }
  }

  private async resolve(
    groups: readonly Group[],
    commitTimestamp: number,
    undecided = false,
  ): Promise<void> {
    for (const { mutations } of groups) {
      const keys = mutations.map(({ key }) => present(key, 'key'));
      await this.ask(present(keys[0], 'a key'), {
        resolve: {
          resolutions: [
            {
              transactionId: this.id,
              committed: commitTimestamp > 0,
              commitTimestamp,
              keys,
              undecided,
            },
          ],
        },
      });
    }
  }

  private async read(key: Uint8Array, body: Request): Promise<Response> {
    for (;;) {
      // The first read picks the snapshot.
      const response = await this.ask(key, { ...body, transaction: this.header() });
      const { refusal } = response;
      if (refusal?.reason === Reason.UNCERTAIN && !this.hasRead) {
        this.readTimestamp = refusal.timestamp ?? 0;
        continue;
      }
      if (refusal) throw new TransactionFailed(refusal.message ?? '');
      const picked = response.get?.readTimestamp ?? response.scan?.readTimestamp ?? 0;
      assert(this.readTimestamp === 0 || this.readTimestamp === picked, 'one snapshot', { picked });
      this.readTimestamp = picked;
      this.hasRead = true;
      this.options.hlc.observe(toTimestamp(picked));
      return response;
    }
  }

  /** Recovers whoever is in the way, and asks again. */
  private async ask(key: Uint8Array, body: Request): Promise<Response> {
    const { client, timeoutMs = 60_000 } = this.options;
    for (;;) {
      const response = await client.ask(client.rangeOf(key), body, timeoutMs);
      assert(response !== undefined, 'somebody answers in time', { body: JSON.stringify(body) });
      if (response.refusal?.reason !== Reason.BLOCKED) return response;
      await this.recover(response);
    }
  }

  private async recover({ refusal }: Response): Promise<void> {
    if (refusal?.reason !== Reason.BLOCKED)
      throw new TransactionFailed(refusal?.message ?? 'refused');
    await recoverTransaction(this.options.client, present(refusal.blocked, 'an intent'));
  }
}

interface Group {
  readonly range: RangeDescriptor;
  readonly mutations: Mutation[];
  readonly checks: ReadCheck[];
}

/**
 * Finds out what became of the transaction that laid an intent, making it so if nobody else will, and resolves the intent.
 * For brevity it takes everybody for dead at once: what it must not do is give a wrong outcome.
 */
export async function recoverTransaction(
  client: TestClient,
  { key, transactionId, anchorKey }: flotilla.kv.BlockingIntent.$Properties,
): Promise<void> {
  const anchor = present(anchorKey, 'an anchor');
  const id = present(transactionId, 'a transaction');
  const ask = async (at: Uint8Array, body: Request): Promise<Response> =>
    present(await client.ask(client.rangeOf(at), body, 60_000), 'an answer');
  for (;;) {
    const { queryTransaction: found } = await ask(anchor, {
      queryTransaction: { transactionId: id, anchorKey: anchor },
    });
    const status = found?.status ?? Status.TRANSACTION_NONE;
    const commitTimestamp = found?.commitTimestamp ?? 0;
    if (status === Status.TRANSACTION_COMMITTED || status === Status.TRANSACTION_ABORTED) {
      const committed = status === Status.TRANSACTION_COMMITTED;
      const keys = [present(key, 'a key')];
      await ask(present(key, 'a key'), {
        resolve: { resolutions: [{ transactionId: id, committed, commitTimestamp, keys }] },
      });
      return;
    }
    let allFound = status === Status.TRANSACTION_STAGING;
    if (status === Status.TRANSACTION_STAGING)
      for (const promised of found?.promisedKeys ?? []) {
        const { prevent } = await ask(promised, {
          prevent: { transactionId: id, commitTimestamp, keys: [promised] },
        });
        if (!prevent?.allFound) allFound = false;
      }
    await ask(anchor, {
      decide: {
        transactionId: id,
        anchorKey: anchor,
        expected: status,
        expectedTimestamp: commitTimestamp,
        outcome: allFound ? Status.TRANSACTION_COMMITTED : Status.TRANSACTION_ABORTED,
      },
    });
  }
}
