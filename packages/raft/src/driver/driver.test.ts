/** Three drivers in one process on a clock moved by hand: what is written, sent and applied when. */
import { ExitCode, FatalError, toLogIndex, toRangeId, toStoreId } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import type { RaftMessage } from '../messages.ts';
import { isStoreMessage } from '../store-messages.ts';
import { DriverCluster } from '../testing/driver-cluster.ts';

const storeIds = [1, 2, 3];
const text = (data: Uint8Array): string => Buffer.from(data).toString();

function cluster(ranges: number): DriverCluster {
  return new DriverCluster({ ranges });
}

const range = toRangeId(1);

describe('driver', () => {
  it('elects leaders for twenty groups and applies what they take on every store, in order', async () => {
    const c = cluster(20);
    await c.elected();
    for (let i = 0; i < 50; i++) {
      for (const id of c.rangeIds) c.propose(id, `${id}-${i}`);
      if (i % 10 === 0) await c.settle();
    }
    await c.run(300);
    for (const id of c.rangeIds) {
      const expected = Array.from({ length: 50 }, (_, i) => `${id}-${i}`);
      for (const store of storeIds) expect(c.commands(store, id)).toEqual(expected);
    }
  });

  it('writes all groups of a turn with one sync and applies them as one batch', async () => {
    const c = cluster(20);
    await c.elected();
    await c.run(1000);
    for (const node of c.nodes) {
      node.log.batches.length = 0;
      node.machine.batches = 0;
    }
    for (const id of c.rangeIds) c.propose(id, 'x');
    await c.settle();
    for (const node of c.nodes) {
      expect(node.log.batches.length).toBeLessThanOrEqual(3);
      const groups = new Set(node.log.batches.flat().map((write) => write.rangeId));
      expect(groups.size).toBe(20);
    }
  });

  it('sends appends before its own sync, acknowledges only after, and commits without its own disk', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(300);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    const followers = c.nodes.filter((node) => node !== leader);
    for (const node of c.nodes) node.log.manual = true;
    c.propose(range, 'a');
    c.clock.runTurn();
    const appends = c.wire.filter(({ message }) => message.kind === 'appendEntriesRequest');
    expect(appends).toHaveLength(2);
    await c.settle();
    const committed = (): number => leader.raft.status(range)?.commitIndex ?? 0;
    const before = committed();
    expect(before).toBe(1);
    followers[0]?.log.completeSync();
    await c.settle();
    expect(committed()).toBe(before); // one follower is no quorum while the leader's own sync is pending
    followers[1]?.log.completeSync();
    await c.settle();
    expect(committed()).toBe(before + 1);
    expect(c.commands(1, range).length + c.commands(2, range).length).toBeLessThanOrEqual(2);
    expect(leader.machine.applied.get(range)?.index).toBe(before); // durable here before it is applied here
    leader.log.completeSync();
    await c.settle();
    expect(leader.machine.applied.get(range)?.index).toBe(before + 1);
  });

  it('forms the next batch from what arrives during a sync', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(300);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    leader.log.manual = true;
    leader.log.batches.length = 0;
    for (let i = 0; i < 10; i++) {
      c.propose(range, `c${i}`);
      await c.settle();
    }
    expect(leader.log.batches).toHaveLength(1);
    leader.log.completeSync();
    await c.settle();
    expect(leader.log.batches).toHaveLength(2);
    const second = leader.log.batches[1]?.flatMap((write) => write.entries) ?? [];
    expect(second.map((entry) => text(entry.data))).toEqual(
      Array.from({ length: 9 }, (_, i) => `c${i + 1}`),
    );
    leader.log.completeSync();
    await c.settle();
  });

  it('loses nothing that was applied when a store dies with unsynced writes and comes back', async () => {
    const c = cluster(3);
    await c.elected();
    for (let i = 0; i < 30; i++) c.propose(range, `c${i}`);
    await c.run(300);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    const id = c.nodes.indexOf(leader) + 1;
    leader.log.manual = true;
    leader.raft.propose(range, Buffer.from('unsynced'));
    c.clock.runTurn();
    leader.cut = true;
    c.wire = [];
    await c.run(3000);
    for (let i = 30; i < 40; i++) c.propose(range, `c${i}`);
    await c.run(300);
    c.restart(id);
    await c.run(2000);
    const expected = Array.from({ length: 40 }, (_, i) => `c${i}`);
    for (const store of storeIds) expect(c.commands(store, range)).toEqual(expected);
  });

  it('gives lease reads to a leader that a quorum hears, and takes them away when it is cut off', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    expect(leader.raft.leaseValid(range)).toBe(true);
    expect(c.nodes.filter((node) => node.raft.leaseValid(range))).toHaveLength(1);
    leader.cut = true;
    await c.run(900);
    expect(leader.raft.leaseValid(range)).toBe(false);
  });

  it('drops the lease and falls silent while its disk hangs, then ends the process', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    leader.log.manual = true;
    c.propose(range, 'x');
    await c.run(900);
    expect(leader.raft.leaseValid(range)).toBe(true);
    await c.run(700);
    expect(leader.raft.leaseValid(range)).toBe(false);
    const sent = leader.sent;
    await c.run(2000);
    expect(leader.sent).toBe(sent);
    expect(c.leader()).not.toBe(leader);
    await c.run(18_000, 100);
    expect(leader.fatal).toBeInstanceOf(FatalError);
    expect((leader.fatal as FatalError).exitCode).toBe(ExitCode.diskStalled);
  });

  it('speaks again when a checkpoint that hung is through, though nothing else is written', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const follower = c.nodes.find((node) => node !== c.leader());
    if (follower === undefined) throw new Error('no follower');
    follower.log.manual = true;
    const applied = follower.machine.applied.get(range)?.index ?? toLogIndex(0);
    const through = follower.raft.checkpoint(new Map([[range, applied]]), 1);
    await c.run(1600);
    const sent = follower.sent;
    await c.run(500);
    expect(follower.sent).toBe(sent);
    follower.log.completeSync();
    follower.log.manual = false;
    await c.settle();
    await through;
    await c.run(500);
    expect(follower.sent).toBeGreaterThan(sent);
  });

  it('distrusts leases for their length after the clocks parted', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    c.clock.stepWall(60_000);
    expect(leader.raft.leaseValid(range)).toBe(false);
    await c.run(800);
    expect(leader.raft.leaseValid(range)).toBe(false);
    await c.run(200);
    expect(leader.raft.leaseValid(range)).toBe(true);
  });

  it('lets queued heartbeats count before silence when a timer was held up', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    const follower = c.nodes.find((node) => node !== leader);
    if (leader === undefined || follower === undefined) throw new Error('no leader');
    const term = follower.raft.status(range)?.term;
    // The whole process sleeps for 5 s; its peer's heartbeat lies in the socket.
    const heartbeat: RaftMessage[] = [];
    await c.run(200);
    leader.raft.propose(range, Buffer.from('beat'));
    c.clock.runTurn();
    for (const { message } of c.wire) if (!isStoreMessage(message)) heartbeat.push(message);
    c.wire = [];
    const callbacks: (() => void)[] = [];
    c.clock.afterTurn = (callback) => void callbacks.push(callback);
    c.clock.advance(5000);
    expect(callbacks.length).toBeGreaterThan(0);
    for (const callback of callbacks.splice(0)) callback();
    follower.raft.receive(
      toStoreId(1),
      heartbeat.filter((message) => message.to === follower.raft.status(range)?.self),
    );
    for (let i = 0; i < 5; i++) for (const callback of callbacks.splice(0)) callback();
    expect(follower.raft.status(range)?.role).toBe('follower');
    expect(follower.raft.status(range)?.term).toBe(term);
  });

  it('answers a barrier by a quorum round when there is no lease, after what was committed is applied', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    c.clock.stepWall(60_000); // no lease
    leader.machine.hold = true;
    c.propose(range, 'x');
    await c.settle();
    const grants: boolean[] = [];
    void leader.raft.readBarrier(range).then((grant) => grants.push(grant.ok));
    void leader.raft.readBarrier(range).then((grant) => grants.push(grant.ok));
    await c.settle();
    expect(grants).toEqual([]);
    leader.machine.hold = false;
    leader.machine.finish();
    await c.settle();
    expect(grants).toEqual([true, true]);
  });

  it('refuses barriers of a leader that lost its quorum', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    leader.cut = true;
    await c.run(950);
    let grant: unknown;
    void leader.raft.readBarrier(range).then((g) => {
      grant = g;
    });
    await c.run(1500);
    expect(grant).toMatchObject({ ok: false, reason: 'notLeader' });
  });

  it('grants a follower a barrier when its leader answers, and refuses it when nobody does', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    const follower = c.nodes.find((node) => node !== leader);
    if (leader === undefined || follower === undefined) throw new Error('no leader');
    const grants: unknown[] = [];
    void follower.raft.readBarrier(range).then((grant) => grants.push(grant));
    await c.run(50);
    expect(grants).toEqual([{ ok: true }]);
    leader.cut = true;
    void follower.raft.readBarrier(range).then((grant) => grants.push(grant));
    await c.run(2500);
    expect(grants[1]).toMatchObject({ ok: false, reason: 'notLeader' });
  });

  it('does nothing for idle groups between heartbeats', async () => {
    const c = cluster(20);
    await c.elected();
    await c.run(2000);
    const syncs = c.nodes.map((node) => node.log.syncs());
    const sent = c.nodes.map((node) => node.sent);
    await c.run(1000);
    expect(c.nodes.map((node) => node.log.syncs())).toEqual(syncs);
    const messages = c.nodes.reduce((sum, node, i) => sum + node.sent - (sent[i] ?? 0), 0);
    // 20 groups * 2 followers * (heartbeat + answer) * 5 a second
    expect(messages).toBeLessThanOrEqual(20 * 2 * 2 * 6);
  });

  it('hands over leadership when it stops, and closes after its work is done', async () => {
    const c = cluster(6);
    await c.elected();
    await c.run(500);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    let stopped = false;
    void leader.raft.stop({ transferTimeoutMs: 1000 }).then(() => {
      stopped = true;
    });
    await c.run(200);
    expect(stopped).toBe(true);
    leader.cut = true;
    await c.run(20);
    for (const id of c.rangeIds) {
      const next = c.leader(id);
      expect(next).toBeDefined();
      expect(next).not.toBe(leader);
    }
  });

  it('compacts what every member has and no more, and a checkpoint waits for its turn', async () => {
    const c = cluster(1);
    await c.elected();
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    const away = c.nodes.find((node) => node !== leader);
    if (away === undefined) throw new Error('no follower');
    for (let i = 0; i < 10; i++) c.propose(range, `a${i}`);
    await c.run(500);
    away.cut = true;
    for (let i = 0; i < 10; i++) c.propose(range, `b${i}`);
    await c.run(500);
    const applied = leader.machine.applied.get(range)?.index ?? toLogIndex(0);
    let done = false;
    void leader.raft.checkpoint(new Map([[range, applied]]), 1).then(() => {
      done = true;
    });
    await c.settle();
    expect(done).toBe(true);
    const compacted = (leader.raft.status(range)?.firstIndex ?? 0) - 1;
    expect(compacted).toBe(applied - 10);
    away.cut = false;
    await c.run(1500);
    expect(c.commands(c.nodes.indexOf(away) + 1, range)).toHaveLength(20);
  });

  it('ends the process when the log cannot be written, and promises nothing afterwards', async () => {
    const c = cluster(1);
    await c.elected();
    await c.run(300);
    const leader = c.leader();
    if (leader === undefined) throw new Error('no leader');
    leader.log.failNext = new FatalError(ExitCode.diskFull, 'no space');
    c.propose(range, 'x');
    await c.settle();
    expect(leader.fatal).toBeInstanceOf(FatalError);
    expect(leader.raft.propose(range, Buffer.from('y')).ok).toBe(false);
    expect(await leader.raft.readBarrier(range)).toMatchObject({ ok: false, reason: 'stopped' });
    const sent = leader.sent;
    await c.run(1000);
    expect(leader.sent).toBe(sent);
  });
});
