/** Messages through bytes and back, and bytes that are no messages. */
import {
  type ReplicaId,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flotilla } from '../gen/raft.js';
import { decodeAppend, decodeAppendAnswer } from './append-codec.ts';
import { decodeAnyMessage, decodeRaftMessage, encodeRaftMessage } from './codec.ts';
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts';
import type { Configuration, LogEntry, RaftMessage } from './messages.ts';
import type { PeerMessage } from './store-messages.ts';

const count = fc.oneof(fc.nat(100), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52));
const index = count.map(toLogIndex);
const term = count.map(toTerm);
const id = count.map((n) => n + 1);
const time = fc.double({ min: 0, max: 1e12, noNaN: true });
const envelope = {
  rangeId: id.map(toRangeId),
  from: id.map(toReplicaId),
  to: id.map(toReplicaId),
};
const response = { ...envelope, term };

interface EntrySeed {
  readonly step: number;
  readonly kind: LogEntry['kind'];
  readonly data: Uint8Array;
}

/** Three disjoint sets of members, the voters not empty; some outgoing voters are voters, too. */
const configuration: fc.Arbitrary<Configuration> = fc
  .record({
    ids: fc.uniqueArray(id, { minLength: 1, maxLength: 9 }),
    roles: fc.array(fc.nat(3), { minLength: 9, maxLength: 9 }),
    store: id,
  })
  .map(({ ids, roles, store }) => {
    const having = (...chosen: number[]): readonly ReplicaId[] =>
      ids
        .filter((_, i) => chosen.includes(i === 0 ? 0 : (roles[i] ?? 0)))
        .sort((one, other) => one - other)
        .map(toReplicaId);
    return {
      voters: having(0, 1),
      votersOutgoing: having(1, 2),
      learners: having(3),
      storeOf: new Map(ids.map((each, i) => [toReplicaId(each), toStoreId(store + i)])),
    };
  });

const entrySeed: fc.Arbitrary<EntrySeed> = fc.oneof(
  fc.record({
    step: fc.nat(2),
    kind: fc.constantFrom('command' as const, 'noop' as const),
    data: fc.uint8Array({ maxLength: 40 }),
  }),
  fc.record({
    step: fc.nat(2),
    kind: fc.constant('configuration' as const),
    data: configuration.map(encodeConfiguration),
  }),
);

const append: fc.Arbitrary<RaftMessage> = fc
  .record({
    ...envelope,
    prevLogIndex: index,
    prevLogTerm: term,
    seeds: fc.array(entrySeed, { maxLength: 6 }),
    leaderCommit: index,
    sentAtMs: time,
    readSequence: count,
    replicatedIndex: index,
  })
  .map(({ seeds, ...fields }) => {
    let last: number = fields.prevLogTerm;
    const entries = seeds.map(({ step, kind, data }, i) => {
      last = Math.max(1, last + step);
      return { index: toLogIndex(fields.prevLogIndex + i + 1), term: toTerm(last), kind, data };
    });
    return { ...fields, kind: 'appendEntriesRequest', entries, term: toTerm(Math.max(1, last)) };
  });

const campaign = { ...envelope, lastLogIndex: index, lastLogTerm: fc.nat(50).map(toTerm) };
const campaignTerm = fc.integer({ min: 50, max: 99 }).map(toTerm);

const leadership = fc.record({
  rangeId: id.map(toRangeId),
  term: id.map(toTerm),
  leader: id.map(toReplicaId),
  follower: id.map(toReplicaId),
});

const storeMessage: fc.Arbitrary<PeerMessage> = fc.record({
  kind: fc.constantFrom('storeHeartbeat' as const, 'storeHeartbeatResponse' as const),
  incarnation: id,
  toIncarnation: count,
  sentAtMs: time,
  heldVersion: count,
  logBatch: count,
  delta: fc
    .record({
      base: fc.nat(1000),
      version: fc.nat(1000),
      complete: fc.boolean(),
      set: fc.array(leadership, { maxLength: 5 }),
      removed: fc.array(id.map(toRangeId), { maxLength: 5 }),
    })
    .map((delta) => ({ ...delta, version: delta.base + delta.version })),
});

const answer: fc.Arbitrary<RaftMessage> = fc.record({
  ...response,
  kind: fc.constant('appendEntriesResponse' as const),
  success: fc.boolean(),
  matchIndex: index,
  rejectedIndex: index,
  conflictTerm: term,
  conflictIndex: index,
  sentAtMs: time,
  readSequence: count,
  needsSnapshot: fc.boolean(),
  commitIndex: index,
});

const [noIndex, noTerm] = [toLogIndex(0), toTerm(0)];
const noRefusal = { rejectedIndex: noIndex, conflictTerm: noTerm, conflictIndex: noIndex };
const success = answer.map(
  (each): RaftMessage =>
    each.kind === 'appendEntriesResponse'
      ? { ...each, ...noRefusal, success: true, needsSnapshot: false }
      : each,
);

const message: fc.Arbitrary<PeerMessage> = fc.oneof(
  append,
  storeMessage,
  answer,
  fc.record({
    ...campaign,
    term: campaignTerm,
    kind: fc.constant('requestVoteRequest' as const),
    leadershipTransfer: fc.boolean(),
  }),
  fc.record({ ...campaign, term: campaignTerm, kind: fc.constant('preVoteRequest' as const) }),
  fc.record({
    ...response,
    kind: fc.constantFrom('requestVoteResponse' as const, 'preVoteResponse' as const),
    voteGranted: fc.boolean(),
  }),
  fc.record({
    ...{ ...response, kind: fc.constant('timeoutNow' as const) },
    ...{ lastLogIndex: index, handOver: count },
  }),
  fc.record({ ...response, kind: fc.constant('readIndexRequest' as const), context: count }),
  fc.record({
    ...response,
    kind: fc.constant('readIndexResponse' as const),
    context: count,
    readIndex: index,
    success: fc.boolean(),
  }),
);

/** Buffers and arrays with the same bytes are the same. */
function plain(value: PeerMessage): unknown {
  if (value.kind !== 'appendEntriesRequest') return value;
  return { ...value, entries: value.entries.map((each) => ({ ...each, data: [...each.data] })) };
}

const good: flotilla.raft.Message.$Properties = {
  kind: flotilla.raft.MessageKind.APPEND_ENTRIES_REQUEST,
  rangeId: 1,
  from: 1,
  to: 2,
  term: 5,
  prevLogIndex: 3,
  prevLogTerm: 4,
  entries: [
    { index: 4, term: 4, kind: 0 },
    { index: 5, term: 5, kind: 1 },
  ],
};

function reasonFor(changes: flotilla.raft.Message.$Properties): string {
  const bytes = flotilla.raft.Message.encode({ ...good, ...changes }).finish();
  const decoded = decodeRaftMessage(bytes);
  return decoded.ok ? 'accepted' : decoded.reason;
}

describe('codec', () => {
  test('what is encoded is decoded', () => {
    fc.assert(
      fc.property(message, (original) => {
        const decoded = decodeRaftMessage(encodeRaftMessage(original));
        expect(decoded.ok).toBe(true);
        if (decoded.ok) expect(plain(decoded.message)).toEqual(plain(original));
      }),
      { numRuns: 400 },
    );
  });

  test('appends and answers are the bytes of the generated code, which knows no other field', () => {
    fc.assert(
      fc.property(fc.oneof(append, answer), (original) => {
        const bytes = encodeRaftMessage(original);
        const record = flotilla.raft.Message.decode(bytes);
        expect(Buffer.compare(flotilla.raft.Message.encode(record).finish(), bytes)).toBe(0);
        expect(decodeAnyMessage(bytes)).toEqual(decodeRaftMessage(bytes));
      }),
      { numRuns: 400 },
    );
  });

  test('what is read by hand is what the generated code reads, also of damaged bytes', () => {
    let byHand = 0;
    fc.assert(
      fc.property(
        fc.oneof(append, answer, success),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
        fc.nat(),
        (original, changes, cut) => {
          const bytes = Buffer.from(encodeRaftMessage(original));
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          for (const read of [bytes, bytes.subarray(0, cut % bytes.length)]) {
            const message = decodeAppend(read) ?? decodeAppendAnswer(read);
            if (message === undefined) continue;
            byHand++;
            expect({ ok: true, message }).toEqual(decodeAnyMessage(read));
          }
        },
      ),
      { numRuns: 2000 },
    );
    expect(byHand).toBeGreaterThan(500);
  });

  test('refusals and configurations are left to the generated code; successes and commands are not', () => {
    const ids = {
      rangeId: toRangeId(7),
      from: toReplicaId(1),
      to: toReplicaId(2),
      term: toTerm(3),
    };
    const none = {
      rejectedIndex: toLogIndex(0),
      conflictTerm: toTerm(0),
      conflictIndex: toLogIndex(0),
    };
    const said = {
      matchIndex: toLogIndex(9),
      sentAtMs: 4.5,
      readSequence: 2,
      needsSnapshot: false,
    };
    const success: RaftMessage = {
      ...{ kind: 'appendEntriesResponse', success: true, commitIndex: toLogIndex(8) },
      ...{ ...ids, ...none, ...said },
    };
    expect(decodeAppendAnswer(encodeRaftMessage(success))).toEqual(success);
    const refusal = { ...success, success: false, conflictIndex: toLogIndex(4) };
    expect(decodeAppendAnswer(encodeRaftMessage(refusal))).toBeUndefined();
    expect(decodeRaftMessage(encodeRaftMessage(refusal))).toEqual({ ok: true, message: refusal });
    const entry = (kind: LogEntry['kind']): RaftMessage => ({
      ...{
        kind: 'appendEntriesRequest',
        ...ids,
        prevLogIndex: toLogIndex(4),
        prevLogTerm: toTerm(3),
      },
      entries: [{ index: toLogIndex(5), term: toTerm(3), kind, data: Buffer.from('x') }],
      ...{
        leaderCommit: toLogIndex(4),
        sentAtMs: 1,
        readSequence: 0,
        replicatedIndex: toLogIndex(2),
      },
    });
    for (const kind of ['command', 'noop'] as const)
      expect(decodeAppend(encodeRaftMessage(entry(kind)))).toEqual(entry(kind));
    expect(decodeAppend(encodeRaftMessage(entry('configuration')))).toBeUndefined();
  });

  test('entries are slices of the input', () => {
    const data = Buffer.from('some data');
    const bytes = flotilla.raft.Message.encode({
      ...good,
      entries: [{ index: 4, term: 5, data }],
    }).finish();
    const decoded = decodeRaftMessage(bytes);
    if (!decoded.ok || decoded.message.kind !== 'appendEntriesRequest') throw new Error('decodes');
    expect(decoded.message.entries[0]?.data.buffer).toBe(bytes.buffer);
  });

  test('bytes from outside never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof decodeRaftMessage(bytes).ok).toBe('boolean');
      }),
      { numRuns: 500 },
    );
  });

  test('a message with a flipped byte or a cut tail is refused, or is another well-formed message', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (original, at, flip) => {
        const bytes = Uint8Array.from(encodeRaftMessage(original));
        const place = at % bytes.length;
        bytes[place] = (bytes[place] ?? 0) ^ flip;
        for (const damaged of [bytes, bytes.subarray(0, place)]) {
          const decoded = decodeRaftMessage(damaged);
          if (decoded.ok)
            expect(decodeRaftMessage(encodeRaftMessage(decoded.message)).ok).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('each rule of the border has its reason', () => {
    expect(reasonFor({})).toBe('accepted');
    expect(reasonFor({ kind: 0 })).toBe('unknown message kind 0');
    expect(reasonFor({ kind: 99 as flotilla.raft.MessageKind })).toBe('unknown message kind 99');
    expect(reasonFor({ rangeId: 0 })).toBe('rangeId is not an id');
    expect(reasonFor({ from: -1 })).toBe('from is not an id');
    expect(reasonFor({ to: 2 ** 60 })).toBe('to is not an id');
    expect(reasonFor({ term: -3 })).toBe('term is not a term');
    expect(reasonFor({ term: 0, entries: [], prevLogTerm: 0 })).toBe('a leader has a term');
    expect(reasonFor({ leaderCommit: -1 })).toBe('a number is negative or not exact');
    expect(reasonFor({ readSequence: 2 ** 54 })).toBe('a number is negative or not exact');
    expect(reasonFor({ sentAtMs: Number.NaN })).toBe('sentAtMs is not a time');
    expect(reasonFor({ sentAtMs: -1 })).toBe('sentAtMs is not a time');
    expect(reasonFor({ prevLogTerm: 9 })).toBe('prevLogTerm is above the term');
    expect(reasonFor({ prevLogIndex: 2 })).toBe('entries are not contiguous after 2');
    expect(
      reasonFor({
        entries: [
          { index: 4, term: 5 },
          { index: 6, term: 5 },
        ],
      }),
    ).toBe('entries are not contiguous after 4');
    expect(reasonFor({ entries: [{ index: 4, term: 3 }] })).toBe('term of entry 4 is out of order');
    expect(reasonFor({ entries: [{ index: 4, term: 6 }] })).toBe('term of entry 4 is out of order');
    const kind = 7 as flotilla.raft.EntryKind;
    expect(reasonFor({ entries: [{ index: 4, term: 5, kind }] })).toBe('unknown kind of entry 4');
    const change = flotilla.raft.EntryKind.CONFIGURATION;
    expect(reasonFor({ entries: [{ index: 4, term: 5, kind: change }] })).toBe(
      'configuration of entry 4: a configuration has a voter',
    );
    const response = flotilla.raft.MessageKind.APPEND_ENTRIES_RESPONSE;
    expect(reasonFor({ kind: response })).toBe('entries outside of an append');
    const store = { incarnation: 1, version: 3, rangeIds: [4], terms: [5], leaders: [6] };
    const kindOfStore = flotilla.raft.MessageKind.STORE_HEARTBEAT;
    const heartbeat = (changes: flotilla.raft.StoreLiveness.$Properties): string =>
      reasonFor({ kind: kindOfStore, store: { ...store, followers: [7], ...changes } });
    expect(heartbeat({})).toBe('accepted');
    expect(reasonFor({ kind: kindOfStore })).toBe('no store fields');
    expect(reasonFor({ store })).toBe('store fields in a group message');
    expect(heartbeat({ incarnation: 0 })).toBe('incarnation is not an incarnation');
    expect(heartbeat({ heldVersion: -1 })).toBe('a version is negative or not exact');
    expect(heartbeat({ baseVersion: 4 })).toBe('a delta goes backwards');
    expect(heartbeat({ followers: [] })).toBe('columns differ in length');
    expect(heartbeat({ followers: [0] })).toBe('an item is not of ids and terms');
    expect(heartbeat({ removedRangeIds: [-1] })).toBe('an item is not of ids and terms');
    const vote = flotilla.raft.MessageKind.REQUEST_VOTE_REQUEST;
    expect(reasonFor({ kind: vote, entries: [], lastLogTerm: 9 })).toBe(
      'lastLogTerm is above the term',
    );
  });
});

const wireConfiguration = flotilla.raft.Configuration;

describe('configurations', () => {
  test('what is encoded is decoded, and equal ones are equal bytes', () => {
    fc.assert(
      fc.property(configuration, (original) => {
        const bytes = encodeConfiguration(original);
        expect(decodeConfiguration(bytes)).toEqual({ ok: true, configuration: original });
        const storeOf = new Map([...original.storeOf].reverse());
        expect(encodeConfiguration({ ...original, storeOf })).toEqual(bytes);
      }),
    );
  });

  test('bytes from outside never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(typeof decodeConfiguration(bytes).ok).toBe('boolean');
      }),
    );
  });

  test('each rule has its reason', () => {
    const good = {
      voters: [1, 2],
      votersOutgoing: [1],
      learners: [3],
      members: [1, 2, 3].map((replicaId) => ({ replicaId, storeId: replicaId })),
    };
    const reason = (changes: flotilla.raft.Configuration.$Properties): string => {
      const decoded = decodeConfiguration(
        wireConfiguration.encode({ ...good, ...changes }).finish(),
      );
      return decoded.ok ? 'accepted' : decoded.reason;
    };
    expect(reason({})).toBe('accepted');
    expect(reason({ voters: [] })).toBe('a configuration has a voter');
    expect(reason({ voters: [2, 1] })).toBe('members are sorted and distinct');
    expect(reason({ learners: [2, 3] })).toBe('a learner is not a voter');
    expect(reason({ voters: [0, 1] })).toBe('a member is no id');
    expect(reason({ members: [{ replicaId: 1, storeId: 0 }] })).toBe('a member is no id');
    const [one] = good.members;
    if (one !== undefined) expect(reason({ members: [one, one] })).toBe('a member lives twice');
    expect(reason({ learners: [3, 4] })).toBe('every member lives somewhere');
    expect(reason({ learners: [] })).toBe('only members live somewhere');
  });
});
