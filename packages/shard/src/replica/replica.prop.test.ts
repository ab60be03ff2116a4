/**
 * Evaluation, exactly-once and replay against a naive model: one replica over a scripted log. The model executes each
 * request when its entry commits, in log order, over a plain map; what clients were told and what the engine holds must
 * be what the model says, whatever happened to leadership, duplicates and the disk in between.
 */
import {
  HybridLogicalClock,
  SeededPrng,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
  toTimestamp,
} from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import type { LogEntry, ProposeResult } from '@flotilla/raft';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { flotilla } from '../../gen/kv.js';
import { EngineTurns } from '../engine/engine-turns.ts';
import { defaultStoreLimits } from '../limits.ts';
import { kv } from '../protocol/index.ts';
import { ServedRanges } from '../reads/served-ranges.ts';
import { loadRanges, rangeCheckpointRow } from '../state/range-checkpoint.ts';
import { SessionTable } from '../state/session-table.ts';
import { allHistory, supersededAtOf, userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { TransactionState } from '../state/transaction-state.ts';
import { Checkpointer } from '../store/checkpointer.ts';
import { OneAtATime } from '../store/one-at-a-time.ts';
import { StoreStateMachine } from '../store/store-state-machine.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { Contention } from '../transaction/contention.ts';
import { LiveTransactions } from '../transaction/live-transactions.ts';
import { WaitingClock, WaitingRoom } from '../transaction/waiting-room.ts';
import type { Answer, Caller } from './answers.ts';
import { decodeCommandBatch } from './command.ts';
import { Replica } from './replica.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;

const rangeId = toRangeId(5);
const descriptor = {
  rangeId,
  startKey: Buffer.from('a'),
  endKey: Buffer.from('z'),
  generation: 1,
  replicas: [{ replicaId: toReplicaId(1), storeId: toStoreId(1) }],
  nextReplicaId: toReplicaId(2),
};

const sessionTtlMs = 100;

/** What the model thinks of one serial of one session. */
interface Outcome {
  readonly applied: boolean;
  readonly failedCondition: number;
  readonly foundTimestamp: number;
}

class Model {
  readonly rows = new Map<string, { value: string; timestamp: number }>();
  readonly outcomes = new Map<string, Outcome>();
  readonly history: string[] = [];

  execute(id: string, request: WriteRequest, timestamp: number): void {
    expect(this.outcomes.has(id)).toBe(false);
    const conditions = request.conditions ?? [];
    for (let i = 0; i < conditions.length; i++) {
      const condition = conditions[i];
      const found = this.rows.get(String(condition?.key))?.timestamp ?? 0;
      const wanted = condition?.kind === kv.ConditionKind.UNCHANGED ? condition.timestamp : 0;
      if (found === wanted) continue;
      this.outcomes.set(id, { applied: false, failedCondition: i, foundTimestamp: found });
      return;
    }
    const before = new Map(this.rows);
    for (const { key, value, isDelete } of request.mutations ?? []) {
      if (isDelete) this.rows.delete(String(key));
      else this.rows.set(String(key), { value: String(value), timestamp });
    }
    for (const { startKey, endKey } of request.deleteSpans ?? [])
      for (const key of [...this.rows.keys()])
        if (key >= String(startKey) && key < String(endKey)) this.rows.delete(key);
    for (const [key, old] of before)
      if (this.rows.get(key) !== old)
        this.history.push(`${key}: ${old.value} of ${old.timestamp} until ${timestamp}`);
    this.outcomes.set(id, { applied: true, failedCondition: 0, foundTimestamp: 0 });
  }
}

class Harness {
  readonly model = new Model();
  readonly requests = new Map<string, WriteRequest>();
  readonly answers = new Map<number, Answer>();
  readonly idOfRequest = new Map<number, string>();
  engine = new MemoryEngine();
  private readonly clock = new ManualClock();
  private readonly prng: SeededPrng;
  private turns = new EngineTurns(this.engine);
  private replica: Replica;
  private machine: StoreStateMachine;
  private checkpointer: Checkpointer;
  private served = new ServedRanges();
  private log: LogEntry[] = [];
  private committed = 0;
  private checkpointedIndex = 0;
  private term = 0;
  private leading = false;
  private lease = true;
  private requestId = 0;

  constructor(seed: number) {
    this.prng = new SeededPrng(seed);
    [this.replica, this.machine, this.checkpointer] = this.wire({
      descriptor,
      replicaId: 1,
      appliedIndex: 0,
      appliedTerm: 0,
      storageId: 3,
      lastTimestamp: 0,
      liveBytes: 0,
      historyBytes: 0,
      sessions: new SessionTable(),
      lastDeletion: 0,
      transactions: new TransactionState(),
    });
  }

  async start(): Promise<void> {
    await this.turns.write(() => [rangeCheckpointRow(this.replica.state())]);
    await this.engine.flush();
  }

  private wire(state: ReturnType<Replica['state']>): [Replica, StoreStateMachine, Checkpointer] {
    const hlc = new HybridLogicalClock(this.clock, { maxOffsetMs: 250 });
    const unused = (): never => {
      throw new Error('not in this test');
    };
    const waitingClock = new WaitingClock(this.clock, unused);
    const replica: Replica = new Replica(state, {
      served: this.served,
      covering: () => [],
      newWaitingRoom: () => new WaitingRoom(waitingClock, 100),
      observe: (timestamp) => void hlc.observe(toTimestamp(timestamp)),
      leaseholder: {
        engine: this.engine,
        hlc,
        limits: {
          ...defaultStoreLimits,
          sessionsMax: 4,
          sessionTtlMs,
          deleteKeysMax: 4,
          entryBytesTarget: 200,
        },
        programs: undefined,
        answers: { send: (caller, answer) => this.receive(caller, answer) },
        contention: new Contention(),
        live: new LiveTransactions({
          clock: this.clock,
          ttlMs: 5000,
          transactionsMax: 100,
          edgesMax: 8,
          onFatal: unused,
        }),
        waitingClock,
        nowMs: () => this.clock.nowMs(),
        after: unused,
        takeOverWaitMs: 0,
        onPromise: () => {},
        propose: (data) => this.append('command', data),
        leaseValid: () => this.lease,
        readBarrier: async () => ({ ok: true }),
        onDirty: () => {},
        onFatal: (error) => {
          throw error;
        },
      },
    });
    const machine = new StoreStateMachine(this.turns, {
      replica: () => replica,
      onApplied: () => {},
      onSoftState: (_rangeId, soft) => replica.onSoftState(soft),
      flip: unused,
      onDescriptor: unused,
      prepareSplit: unused,
      completeSplit: unused,
      sendSnapshot: unused,
      onUnknownGroup: unused,
    });
    const checkpointer = new Checkpointer({
      engine: this.engine,
      turns: this.turns,
      replicas: new Map([[rangeId, replica]]),
      hlc,
      commit: async (applied) => {
        this.checkpointedIndex = applied.get(rangeId) ?? 0;
      },
      remember: async () => {},
      applied: machine,
      onTaken: () => {},
      checkpointed: new Map([[rangeId, state.appliedIndex]]),
      oneAtATime: new OneAtATime(),
    });
    return [replica, machine, checkpointer];
  }

  private append(kind: LogEntry['kind'], data: Uint8Array): ProposeResult {
    if (!this.leading) return { ok: false, reason: 'notLeader', leader: undefined };
    const index = toLogIndex(this.log.length + 1);
    const term = toTerm(this.term);
    this.log.push({ index, term, kind, data });
    return { ok: true, index, term };
  }

  private receive(caller: Caller, answer: Answer): void {
    expect(this.answers.has(caller.requestId)).toBe(false);
    this.answers.set(caller.requestId, answer);
  }

  private softState(role: 'leader' | 'follower'): void {
    this.leading = role === 'leader';
    this.machine.onSoftState(rangeId, { role, term: toTerm(this.term), leader: undefined });
    this.checkServed();
  }

  /** Leadership goes; of the uncommitted entries the first `keep` survive in the log of the next leader. */
  loseLeadership(keep: number): void {
    if (!this.leading) return;
    this.term++;
    this.softState('follower');
    this.log.length = Math.min(this.log.length, this.committed + keep);
  }

  becomeLeader(): void {
    if (this.leading) return;
    this.term++;
    this.softState('leader');
    this.append('noop', Buffer.alloc(0));
  }

  rest(ms: number): void {
    this.clock.advance(ms);
  }

  /** End of a turn. */
  propose(): void {
    this.replica.leaseholder?.proposeOpen();
  }

  async commit(entries: number): Promise<void> {
    const upTo = Math.min(this.log.length, this.committed + entries);
    const batch = this.log.slice(this.committed, upTo);
    if (batch.length === 0) return;
    this.committed = upTo;
    for (const entry of batch) this.follow(entry);
    await this.machine.apply([{ rangeId, snapshot: undefined, entries: batch }]);
    this.checkServed();
  }

  /** Gets pass the replica by exactly while it leads. */
  private checkServed(): void {
    const storageId = this.served.storageOf(rangeId, 1, Buffer.from('b'));
    expect(storageId).toBe(this.leading ? this.replica.storageId : 0);
  }

  /** The model executes the requests of a committed entry. */
  private follow(entry: LogEntry): void {
    if (entry.kind !== 'command') return;
    for (const command of decodeCommandBatch(entry.data).commands) {
      if (command.registerNonce.length > 0) continue;
      const id = `${command.sessionId}/${command.serial}`;
      const request = this.requests.get(id);
      expect(request).toBeDefined();
      if (request !== undefined) this.model.execute(id, request, command.timestamp);
    }
  }

  request(send: (caller: Caller) => Answer | undefined): number {
    const requestId = ++this.requestId;
    const caller = { clientId: 'c', requestId, bytes: 0, deadlineMs: Number.POSITIVE_INFINITY };
    const answer = send(caller);
    if (answer !== undefined) this.receive(caller, answer);
    return requestId;
  }

  write(request: WriteRequest): void {
    const id = `${request.sessionId}/${request.serial}`;
    this.requests.set(id, request);
    const { leaseholder } = this.replica;
    if (leaseholder === undefined) return;
    const requestId = this.request((caller) => leaseholder.write(caller, request, undefined));
    this.idOfRequest.set(requestId, id);
  }

  /** A registered session's id; drives the log as far as needed. */
  async session(nonce: string): Promise<number> {
    this.becomeLeader();
    await this.commit(100);
    const { leaseholder } = this.replica;
    const requestId = this.request((caller) => leaseholder?.register(caller, Buffer.from(nonce)));
    this.propose();
    await this.commit(100);
    return this.answers.get(requestId)?.registerSession?.sessionId ?? 0;
  }

  checkpoint(): Promise<void> {
    return this.checkpointer.run();
  }

  /** Power loss between two applies; then the log is replayed from the checkpoint over whatever the engine kept. */
  async crash(): Promise<void> {
    if (this.leading) this.loseLeadership(this.log.length);
    const before = this.replica.sessions.toRows();
    this.engine = this.engine.crash(this.prng);
    this.turns = new EngineTurns(this.engine);
    const loaded = await loadRanges(this.engine, new Map([[rangeId, this.checkpointedIndex]]), 1);
    const [state] = loaded.ranges;
    if (state === undefined) throw new Error('the checkpoint row is there');
    this.served = new ServedRanges();
    [this.replica, this.machine, this.checkpointer] = this.wire(state);
    const entries = this.log.slice(state.appliedIndex, this.committed);
    // In pieces, as the driver would hand them over.
    for (let i = 0; i < entries.length; i += 3)
      await this.machine.apply([
        { rangeId, snapshot: undefined, entries: entries.slice(i, i + 3) },
      ]);
    expect(this.replica.sessions.toRows()).toEqual(before);
  }

  async check(): Promise<void> {
    const iterator = this.engine.iterate(
      this.replica.space.dataSpan(Buffer.from('a'), Buffer.from('z')),
    );
    const rows = new Map<string, { value: string; timestamp: number }>();
    for (const { key, value } of await iterator.next(1000)) {
      checkStored(userKeyOf(key), value);
      rows.set(String(userKeyOf(key)), {
        value: String(storedPayload(value)),
        timestamp: storedTimestamp(value),
      });
    }
    await iterator.close();
    const history: string[] = [];
    const past = this.engine.iterate(allHistory);
    for (const { key, value } of await past.next(1000)) {
      // Tag, storage id, then the escaped key with its two-byte end, then the time.
      const name = String(key.subarray(5, -10)).replaceAll('\0\ufffd', '\0');
      checkStored(Buffer.from(name), value);
      history.push(
        `${name}: ${storedPayload(value)} of ${storedTimestamp(value)} until ${supersededAtOf(key)}`,
      );
    }
    await past.close();
    expect(history.sort()).toEqual(this.model.history.toSorted());
    expect(new Map([...rows].sort())).toEqual(new Map([...this.model.rows].sort()));
    for (const [requestId, id] of this.idOfRequest) {
      const write = this.answers.get(requestId)?.write;
      if (!write) continue;
      const outcome = this.model.outcomes.get(id);
      expect({
        applied: write.applied,
        failedCondition: write.failedCondition ?? 0,
        foundTimestamp: write.foundTimestamp ?? 0,
      }).toEqual(outcome);
    }
    expect(this.replica.skippedCommands).toBe(0);
  }

  timestampOf(key: string): number {
    return this.model.rows.get(key)?.timestamp ?? 0;
  }

  get reasons(): (number | undefined)[] {
    return [...this.answers.values()].map((answer) => answer.refusal?.reason ?? undefined);
  }
}

const keys = fc.constantFrom('b', 'c', 'd\0');
const mutation = fc.record({ key: keys, isDelete: fc.boolean() });
const condition = fc.record({ key: keys, kind: fc.constantFrom(0, 1), stale: fc.boolean() });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      session: fc.nat(2),
      conditions: fc.array(condition, { maxLength: 2 }),
      mutations: fc.array(mutation, { maxLength: 3 }),
      span: fc.option(fc.tuple(keys, keys), { freq: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('again' as const), back: fc.nat(6) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('commit' as const), entries: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), keep: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lead' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('failover' as const), keep: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rest' as const), ms: fc.nat(150) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
);

/** Lets evaluation that reads spans come to its end. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe('a replica', () => {
  it('does what a naive model does, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(step, { maxLength: 60, size: 'max' }),
        async (seed, steps) => {
          const harness = new Harness(seed);
          await harness.start();
          const sessions = [
            await harness.session('one'),
            await harness.session('two'),
            await harness.session('three'),
          ];
          const serials = [0, 0, 0];
          const sent: WriteRequest[] = [];
          for (const next of steps) {
            switch (next.kind) {
              case 'write': {
                const serial = (serials[next.session] ?? 0) + 1;
                serials[next.session] = serial;
                const [from, to] = next.span ?? ['', ''];
                const request: WriteRequest = {
                  sessionId: sessions[next.session] ?? 0,
                  serial,
                  ackedUpTo: Math.max(0, serial - 10),
                  conditions: next.conditions.map(({ key, kind, stale }) => ({
                    key: Buffer.from(key),
                    kind,
                    timestamp: kind === 0 ? 0 : harness.timestampOf(key) + (stale ? 1 : 0),
                  })),
                  mutations: next.mutations.map(({ key, isDelete }) => ({
                    key: Buffer.from(key),
                    isDelete,
                    value: isDelete ? Buffer.alloc(0) : Buffer.from(`${next.session}/${serial}`),
                  })),
                  deleteSpans:
                    from < to ? [{ startKey: Buffer.from(from), endKey: Buffer.from(to) }] : [],
                };
                sent.push(request);
                harness.write(request);
                break;
              }
              case 'again': {
                const request = sent.at(-1 - next.back);
                if (request !== undefined) harness.write(request);
                break;
              }
              case 'turn':
                await settle();
                harness.propose();
                break;
              case 'commit':
                await harness.commit(next.entries);
                break;
              case 'lose':
                harness.loseLeadership(next.keep);
                break;
              case 'failover':
                harness.loseLeadership(next.keep);
                harness.becomeLeader();
                break;
              case 'lead':
                harness.becomeLeader();
                break;
              case 'rest':
                harness.rest(next.ms);
                break;
              case 'checkpoint':
                await harness.checkpoint();
                break;
              case 'crash':
                await harness.crash();
                break;
            }
          }
          // In the end everybody asks again and must hear one and the same outcome.
          harness.becomeLeader();
          await harness.commit(1000);
          for (const request of sent.slice(-8)) harness.write(request);
          await settle();
          harness.propose();
          await harness.commit(1000);
          await harness.check();
          await harness.crash();
          await harness.check();
        },
      ),
      { numRuns: 120 },
    );
  });
});
