/** Heartbeats per pair of stores: what idle groups cost, and that no fault of the network or of a process makes a lie of them. */
import { type RangeId, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { isStoreMessage, type StoreMessage } from '../../store-messages.ts';
import {
  DriverCluster,
  type DriverClusterOptions,
  type DriverNode,
  type OnTheWire,
} from '../../testing/driver-cluster.ts';

const range = toRangeId(1);
const E = 1000;

/** Leaders everywhere, everything settled and spoken for. */
async function idle(options: DriverClusterOptions): Promise<DriverCluster> {
  const c = new DriverCluster(options);
  await c.elected();
  await c.run(2000);
  c.history = [];
  return c;
}

function leaderOf(c: DriverCluster, rangeId: RangeId = range): DriverNode {
  const leader = c.leader(rangeId);
  if (leader === undefined) throw new Error('no leader');
  return leader;
}

function followersOf(c: DriverCluster, rangeId: RangeId = range): DriverNode[] {
  return c.nodes.filter((node) => node !== c.leader(rangeId));
}

const ofGroups = (sent: readonly OnTheWire[]): OnTheWire[] =>
  sent.filter(({ message }) => !isStoreMessage(message));

function between(a: DriverNode, b: DriverNode): (sent: OnTheWire) => boolean {
  return ({ from, to }) =>
    (from === a.storeId && to === b.storeId) || (from === b.storeId && to === a.storeId);
}

function termOf(node: DriverNode, rangeId: RangeId = range): number {
  return node.raft.status(rangeId)?.term ?? 0;
}

describe('idle groups', () => {
  it.each([1, 30])('say nothing: frames are per pair of stores (%i groups)', async (ranges) => {
    const c = await idle({ ranges });
    await c.run(2000);
    expect(ofGroups(c.history)).toEqual([]);
    // At most 3 * 2 directed pairs, 5 heartbeats a second, each answered.
    expect(c.history.length).toBeLessThanOrEqual(6 * 2 * 5 * 2);
    expect(c.history.length).toBeGreaterThan(0);
    for (const id of c.rangeIds) expect(c.leader(id)).toBeDefined();
  });

  it('serve lease reads, without a message of the group', async () => {
    const c = await idle({ ranges: 3 });
    for (let i = 0; i < 50; i++) {
      await c.run(100);
      for (const id of c.rangeIds) expect(leaderOf(c, id).raft.leaseValid(id)).toBe(true);
    }
    expect(ofGroups(c.history)).toEqual([]);
    expect(c.nodes.filter((node) => node.raft.leaseValid(range))).toHaveLength(1);
  });

  it('take a command, settle, and are silent again', async () => {
    const c = await idle({ ranges: 2 });
    c.propose(range, 'x');
    await c.run(1000);
    for (const id of [1, 2, 3]) expect(c.commands(id, range)).toEqual(['x']);
    c.history = [];
    await c.run(2000);
    expect(ofGroups(c.history)).toEqual([]);
    expect(leaderOf(c).raft.leaseValid(range)).toBe(true);
  });

  it('that were written to at different times say what is committed at the same few', async () => {
    const c = await idle({ ranges: 50 });
    const moments = new Set<number>();
    c.passes = ({ message }) => {
      if (message.kind === 'appendEntriesRequest' && message.entries.length === 0)
        moments.add(c.clock.nowMs());
      return true;
    };
    for (let i = 0; i < 100; i++) {
      c.propose(toRangeId((i % 50) + 1), `${i}`);
      await c.run(20);
    }
    await c.run(500);
    for (const id of c.rangeIds) expect(c.commands(3, id)).toHaveLength(2);
    // In 2.5 s, every 200 ms; each group would have had its own.
    expect(moments.size).toBeLessThanOrEqual(13);
  });

  it('try again when a message of the group was lost', async () => {
    const c = await idle({ ranges: 1 });
    const [first, second] = followersOf(c);
    let lost = 0;
    c.passes = ({ to, message }) => {
      const drop = lost < 2 && to === first?.storeId && !isStoreMessage(message);
      if (drop) lost++;
      return !drop;
    };
    c.propose(range, 'x');
    await c.run(1500);
    expect(lost).toBe(2);
    for (const node of [first, second])
      expect(node?.machine.applied.get(range)?.commands).toEqual(['x']);
  });

  it('answer barriers by a round of their own when there is no lease', async () => {
    const c = await idle({ ranges: 1 });
    c.clock.stepWall(60_000);
    let granted: unknown;
    void leaderOf(c)
      .raft.readBarrier(range)
      .then((grant) => {
        granted = grant;
      });
    await c.settle();
    expect(granted).toEqual({ ok: true });
  });
});

describe('reads at a follower', () => {
  it('ask the leader while the group is idle, and fail after E when the answer is lost', async () => {
    const c = await idle({ ranges: 1 });
    const [follower] = followersOf(c);
    if (follower === undefined) throw new Error('a follower');
    const granted = follower.raft.readBarrier(range);
    await c.settle();
    expect(await granted).toEqual({ ok: true });
    c.passes = ({ message }) => message.kind !== 'readIndexResponse';
    let lost: unknown;
    void follower.raft.readBarrier(range).then((grant) => {
      lost = grant;
    });
    await c.run(E - 100);
    expect(lost).toBeUndefined();
    await c.run(200);
    expect(lost).toMatchObject({ ok: false });
    expect(follower.raft.status(range)?.role).toBe('follower');
  });

  it('fail after E at a follower that does not get so far', async () => {
    const c = await idle({ ranges: 1 });
    const [follower] = followersOf(c);
    if (follower === undefined) throw new Error('a follower');
    follower.machine.hold = true;
    c.propose(range, 'x');
    await c.run(600);
    let outcome: unknown;
    void follower.raft.readBarrier(range).then((grant) => {
      outcome = grant;
    });
    await c.run(E - 100);
    expect(outcome).toBeUndefined();
    await c.run(200);
    expect(outcome).toMatchObject({ ok: false, reason: 'notLeader' });
  });
});

describe('the loss of a store', () => {
  it('lets its groups elect others within E and the jitter', async () => {
    const c = await idle({
      ranges: 40,
      driverLimits: { reviewsPerTurnMax: 4, ticksPerTurnMax: 4 },
    });
    const dead = leaderOf(c);
    const led = c.rangeIds.filter((id) => c.leader(id) === dead);
    expect(led.length).toBeGreaterThan(5);
    dead.cut = true;
    const at = c.clock.nowMs();
    c.history = [];
    await c.run(E + 300 + 50);
    const campaigns = c.history.filter(({ message }) => message.kind === 'preVoteRequest');
    expect(campaigns.length).toBeGreaterThan(0);
    const asked = new Set(
      campaigns.map(({ message }) => (isStoreMessage(message) ? undefined : message.rangeId)),
    );
    for (const id of led) expect(asked).toContain(id);
    while (led.some((id) => c.leader(id) === undefined) && c.clock.nowMs() < at + 5000)
      await c.run(10);
    expect(c.clock.nowMs() - at).toBeLessThan(2 * E + 600);
    await c.run(2000);
    c.history = [];
    await c.run(2000);
    // The others do not talk to the dead store per group, nor about anything.
    expect(ofGroups(c.history).filter(({ from }) => from !== dead.storeId)).toEqual([]);
  });

  it('makes no group of others chatty, and all catch up when it comes back', async () => {
    const c = await idle({ ranges: 12 });
    const gone = c.node(3);
    gone.cut = true;
    await c.run(3000);
    for (const id of c.rangeIds) c.propose(id, `while away ${id}`);
    await c.run(1500);
    c.history = [];
    await c.run(2000);
    expect(ofGroups(c.history).filter(({ from }) => from !== gone.storeId)).toEqual([]);
    gone.cut = false;
    await c.run(3000);
    for (const id of c.rangeIds) expect(c.commands(3, id)).toEqual([`while away ${id}`]);
    c.history = [];
    await c.run(2000);
    expect(ofGroups(c.history)).toEqual([]);
  });

  it('does not count as silence what a held-up loop has not read', async () => {
    const c = await idle({ ranges: 5 });
    const terms = c.rangeIds.map((id) => termOf(leaderOf(c, id), id));
    // Everybody sleeps; what was sent before lies in the sockets and is read first.
    c.clock.advance(150);
    const callbacks: (() => void)[] = [];
    c.clock.afterTurn = (callback) => void callbacks.push(callback);
    c.clock.advance(5000);
    for (let round = 0; round < 40; round++) {
      const wire = c.wire;
      c.wire = [];
      for (const callback of callbacks.splice(0)) callback();
      for (const message of wire) c.deliver(message);
    }
    Reflect.deleteProperty(c.clock, 'afterTurn');
    await c.run(500);
    expect(c.rangeIds.map((id) => termOf(leaderOf(c, id), id))).toEqual(terms);
  });
});

describe('restarts', () => {
  it('a follower store that restarts supports nothing until its replicas follow again', async () => {
    const c = await idle({ ranges: 6 });
    const terms = c.rangeIds.map((id) => termOf(leaderOf(c, id), id));
    const led = c.rangeIds.filter((id) => c.leader(id) !== c.node(3));
    c.restart(3);
    await c.run(2500);
    for (const id of led) {
      expect(leaderOf(c, id).raft.leaseValid(id)).toBe(true);
      expect(termOf(leaderOf(c, id), id)).toBe(terms[id - 1]);
      expect(c.node(3).raft.status(id)?.leader).toBe(leaderOf(c, id).raft.status(id)?.self);
    }
    c.history = [];
    await c.run(2000);
    expect(ofGroups(c.history)).toEqual([]);
  });

  it("a leader's store that restarts is not taken for the leader it was", async () => {
    const c = await idle({ ranges: 6 });
    const before = leaderOf(c);
    const led = c.rangeIds.filter((id) => c.leader(id) === before);
    const term = termOf(before);
    c.restart(before.storeId);
    expect(led.some((id) => c.node(before.storeId).raft.leaseValid(id))).toBe(false);
    await c.run(3000);
    for (const id of led) expect(termOf(leaderOf(c, id), id)).toBeGreaterThan(term);
    c.history = [];
    await c.run(2000);
    expect(ofGroups(c.history)).toEqual([]);
  });

  it('heartbeats and answers of earlier lives, played again, mean nothing', async () => {
    const c = await idle({ ranges: 4 });
    const old = leaderOf(c);
    const led = c.rangeIds.filter((id) => c.leader(id) === old);
    await c.run(1000);
    const recorded = c.history.filter(({ message }) => isStoreMessage(message));
    expect(recorded.length).toBeGreaterThan(10);
    for (const node of [...c.nodes]) c.restart(node.storeId);
    // Nobody else can be elected in time if the old heartbeats counted.
    const at = c.clock.nowMs();
    while (led.some((id) => c.leader(id) === undefined) && c.clock.nowMs() < at + 5000) {
      for (const message of recorded) c.deliver(message);
      await c.run(50);
    }
    expect(c.clock.nowMs() - at).toBeLessThan(2 * E + 600);
    for (const message of recorded) c.deliver(message);
    await c.run(2000);
    for (const id of led) expect(leaderOf(c, id).raft.leaseValid(id)).toBe(true);
  });
});

describe('withdrawn support', () => {
  /** Store messages from `node`, kept away from the network. */
  function hold(c: DriverCluster, node: DriverNode, held: OnTheWire[]): void {
    c.passes = (sent) => {
      if (sent.from !== node.storeId) return true;
      held.push(sent);
      return false;
    };
  }

  it('is not brought back by an acknowledgement that comes late', async () => {
    const c = await idle({ ranges: 1, stores: 3 });
    const leader = leaderOf(c);
    const [follower, other] = followersOf(c);
    if (follower === undefined || other === undefined) throw new Error('two followers');
    other.cut = true;
    await c.run(400);
    const held: OnTheWire[] = [];
    hold(c, follower, held);
    c.propose(range, 'x');
    await c.settle();
    const acknowledgements = held.filter(({ message }) => message.kind === 'appendEntriesResponse');
    expect(acknowledgements).toHaveLength(1);
    // The follower forgets whom it followed; its store's answers say so, and its acknowledgement arrives after them.
    c.restart(follower.storeId);
    c.passes = ({ from, to, message }) =>
      isStoreMessage(message) || (from !== follower.storeId && to !== follower.storeId);
    await c.run(600);
    for (const acknowledgement of acknowledgements) c.deliver(acknowledgement);
    await c.run(350);
    // The last thing that renewed the lease is the acknowledged append; the heartbeats since then did not.
    expect(leader.raft.leaseValid(range)).toBe(false);
  });

  it('ends the lease where the follower went on to another term', async () => {
    const c = await idle({ ranges: 1 });
    const old = leaderOf(c);
    const target = followersOf(c)[0];
    if (target === undefined) throw new Error('a follower');
    // The old leader hears nothing of groups any more, but its stores keep answering.
    c.passes = ({ to, message }) => to !== old.storeId || isStoreMessage(message);
    old.raft.transferLeadership(range, toReplicaId(target.storeId));
    await c.run(300);
    expect(c.leader(range)).toBe(target);
    expect(old.raft.leaseValid(range)).toBe(false);
    await c.run(700);
    expect(target.raft.leaseValid(range)).toBe(true);
    expect(old.raft.leaseValid(range)).toBe(false);
    await c.run(1000);
    expect(old.raft.status(range)?.role).not.toBe('leader');
  });
});

describe('a leader that lost its quorum in one group', () => {
  it('frees its last follower though the stores still hear each other (bug 14)', async () => {
    const c = await idle({ ranges: 2, stores: 5 });
    const leader = leaderOf(c);
    const bridge = followersOf(c)[0];
    if (bridge === undefined) throw new Error('a follower');
    // Only the bridge is heard by the leader's store; the three others hear the bridge and each other.
    c.passes = (sent) => {
      const touches = sent.from === leader.storeId || sent.to === leader.storeId;
      return !touches || between(leader, bridge)(sent);
    };
    await c.run(4000);
    const now = c.leader(range);
    expect(now).toBeDefined();
    expect(now).not.toBe(leader);
    expect(now?.raft.leaseValid(range)).toBe(true);
    expect(leader.raft.leaseValid(range)).toBe(false);
  });
});

describe('one-way cuts', () => {
  it.each(['to the follower', 'to the leader'])(
    '%s: one leader, and no lease too many',
    async (way) => {
      const c = await idle({ ranges: 8 });
      const leader = leaderOf(c);
      const follower = followersOf(c)[0];
      if (follower === undefined) throw new Error('a follower');
      const [from, to] = way === 'to the follower' ? [leader, follower] : [follower, leader];
      c.passes = (sent) => sent.from !== from.storeId || sent.to !== to.storeId;
      for (let i = 0; i < 40; i++) {
        await c.run(100);
        for (const id of c.rangeIds)
          expect(c.nodes.filter((node) => node.raft.leaseValid(id)).length).toBeLessThanOrEqual(1);
      }
      for (const id of c.rangeIds) c.propose(id, 'x');
      await c.run(1000);
      c.passes = () => true;
      await c.run(3000);
      for (const id of c.rangeIds)
        for (const store of [1, 2, 3]) expect(c.commands(store, id)).toEqual(['x']);
    },
  );
});

describe('a stalled disk', () => {
  it('silences heartbeats of the store too', async () => {
    const c = await idle({ ranges: 3 });
    const node = leaderOf(c);
    node.log.manual = true;
    c.propose(range, 'x');
    await c.run(1700);
    expect(node.raft.leaseValid(range)).toBe(false);
    c.history = [];
    await c.run(2000);
    expect(c.history.filter(({ from }) => from === node.storeId)).toEqual([]);
    expect(c.leader(range)).not.toBe(node);
  });
});

describe('a bad network', () => {
  it.each([1, 4, 7])(
    'that loses, doubles, delays and replays never makes two leases, and heals (seed %i)',
    async (seed) => {
      const c = await idle({
        ranges: 5,
        driverLimits: { storeChangesPerMessageMax: 2, reviewsPerTurnMax: 2 },
      });
      let state = seed * 7919;
      const chance = (percent: number): boolean => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return (state >>> 8) % 100 < percent;
      };
      const late: { at: number; sent: OnTheWire }[] = [];
      const lateBy = (ms: number, sent: OnTheWire): void =>
        void late.push({ at: c.clock.nowMs() + ms, sent });
      c.passes = (sent) => {
        if (chance(15)) lateBy(1 + ((state >>> 4) % 3000), sent);
        return !chance(20);
      };
      for (let i = 0; i < 1200; i++) {
        await c.run(10);
        for (let at = late.length - 1; at >= 0; at--) {
          const next = late[at];
          if (next === undefined || next.at > c.clock.nowMs()) continue;
          late.splice(at, 1);
          c.deliver(next.sent);
        }
        if (chance(1)) c.restart(1 + ((state >>> 10) % 3));
        if (chance(2)) {
          const node = c.node(1 + ((state >>> 10) % 3));
          node.cut = !node.cut;
        }
        for (const id of c.rangeIds)
          expect(c.nodes.filter((node) => node.raft.leaseValid(id)).length).toBeLessThanOrEqual(1);
      }
      for (const node of c.nodes) node.cut = false;
      c.passes = () => true;
      await c.run(5000);
      for (const id of c.rangeIds) c.propose(id, 'healed');
      await c.run(1500);
      for (const id of c.rangeIds)
        for (const store of [1, 2, 3]) expect(c.commands(store, id).at(-1)).toBe('healed');
      c.history = [];
      await c.run(1000);
      expect(ofGroups(c.history)).toEqual([]);
    },
    30_000,
  );
});

describe('messages between stores', () => {
  it('reach a store that answers again though it holds more than the sender knows', async () => {
    const c = await idle({ ranges: 8, driverLimits: { storeChangesPerMessageMax: 2 } });
    const leader = leaderOf(c);
    const [away] = followersOf(c);
    if (away === undefined) throw new Error('a follower');
    c.passes = ({ from }) => from !== away.storeId;
    c.restart(leader.storeId);
    await c.run(4000);
    c.passes = () => true;
    await c.run(4000);
    c.history = [];
    await c.run(1000);
    expect(ofGroups(c.history)).toEqual([]);
    for (const id of c.rangeIds) expect(leaderOf(c, id).raft.leaseValid(id)).toBe(true);
  });

  it('from a store that leads nothing here are answered with nothing, and nonsense changes nothing', async () => {
    const c = await idle({ ranges: 1 });
    const leader = leaderOf(c);
    const nonsense: StoreMessage = {
      kind: 'storeHeartbeatResponse',
      incarnation: 99,
      toIncarnation: leader.incarnation,
      sentAtMs: c.clock.nowMs() + 10_000,
      delta: { base: 0, version: 1, complete: true, set: [], removed: [range] },
      heldVersion: 1_000_000,
      logBatch: 5,
    };
    leader.raft.receive(toStoreId(77), [nonsense]);
    await c.run(1000);
    expect(leader.raft.leaseValid(range)).toBe(true);
  });
});
