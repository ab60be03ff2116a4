/**
 * The groups that this store leads: which of their members another store speaks for. Called by `store-liveness.ts`;
 * the only caller of the cores' `peerHeard` and `setCoverage`.
 */
import type { StoreId } from '@flotilla/base';
import type { Coverage } from '../../core/raft-core.ts';
import type { Leadership } from '../../store-messages.ts';
import type { Group } from '../group.ts';
import type { LedMember } from './group-liveness.ts';
import type { AnswerSession, LeaderSide } from './leader-side.ts';
import { says } from './versioned-set.ts';

export interface LeadingOptions {
  readonly storeId: StoreId;
  readonly sideOf: (storeId: StoreId) => LeaderSide;
}

export class Leading {
  private readonly options: LeadingOptions;

  constructor(options: LeadingOptions) {
    this.options = options;
  }

  /** The group is led by this store. True if who speaks for a member changed: the core may have something to say. */
  review(group: Group, now: number): boolean {
    if (group.ledTerm !== group.softState?.term || group.ledStoreOf !== group.storeOf)
      this.start(group, now);
    let changed = false;
    for (const member of group.led) if (reviewMember(group, member, now)) changed = true;
    return changed;
  }

  /** The group is not led by this store, or leaves it. */
  stop(group: Group): void {
    for (const { side } of group.led) side.remove(group.rangeId);
    group.led = [];
    group.ledTerm = undefined;
  }

  /** The core learns what the members' stores answered last. */
  sync(group: Group): void {
    for (const member of group.led) syncMember(group, member);
  }

  /** Leads in another term, or has other members. */
  private start(group: Group, now: number): void {
    const { softState, rangeId, storeOf } = group;
    if (softState === undefined) return;
    const { term } = softState;
    const before = group.led;
    const led: LedMember[] = [];
    for (const [replicaId, storeId] of storeOf) {
      if (storeId === this.options.storeId) continue;
      const side = this.options.sideOf(storeId);
      const item = { rangeId, term, leader: group.core.self, follower: replicaId };
      const known = before.find((member) => member.side === side && says(member.item, item));
      led.push(known ?? newMember(item, side));
      // The core may have made its record of the member anew.
      if (known !== undefined) group.core.setCoverage(replicaId, known.coverage, now);
      if (known === undefined) side.add(item, now);
    }
    for (const { side } of before)
      if (!led.some((member) => member.side === side)) side.remove(rangeId);
    group.led = led;
    group.ledTerm = term;
    group.ledStoreOf = storeOf;
  }
}

function newMember(item: Leadership, side: LeaderSide): LedMember {
  const syncedSentAtMs = Number.NEGATIVE_INFINITY;
  const unread = { isSupported: false, readSession: undefined, readVersion: 0 };
  return { item, side, coverage: 'none', ...unread, session: undefined, syncedSentAtMs };
}

/** True if the session supports the member. */
function isSupportedIn(session: AnswerSession, member: LedMember): boolean {
  const { item, isSupported, readSession, readVersion } = member;
  if (session === readSession && session.supported.version === readVersion) return isSupported;
  return says(session.supported.get(item.rangeId), item);
}

/** Looked up only when the other store's words have changed: groups are reviewed far more often. */
function coverageOf(member: LedMember): Coverage {
  const { item, side } = member;
  if (side.isSilent) return 'silent';
  const { session } = side;
  const version = session?.supported.version ?? 0;
  if (session !== member.readSession || version !== member.readVersion) {
    member.readSession = session;
    member.readVersion = version;
    member.isSupported = says(session?.supported.get(item.rangeId), item);
  }
  return member.isSupported ? 'covered' : 'none';
}

function reviewMember(group: Group, member: LedMember, now: number): boolean {
  const coverage = coverageOf(member);
  // What an earlier life of its store said until it ended still counts, up to its last word.
  syncMember(group, member);
  if (coverage === 'covered' && member.session !== member.side.session) {
    member.session = member.side.session;
    syncMember(group, member);
  }
  if (coverage === member.coverage) return false;
  if (coverage !== 'covered') member.session = undefined;
  member.coverage = coverage;
  group.core.setCoverage(member.item.follower, coverage, now);
  return true;
}

/** Only while that life of the store says that it follows: never a send time later than its last word. */
function syncMember(group: Group, member: LedMember): void {
  const { session, item } = member;
  if (session === undefined || session.ackedSentAtMs <= member.syncedSentAtMs) return;
  if (!isSupportedIn(session, member)) return;
  member.syncedSentAtMs = session.ackedSentAtMs;
  group.core.peerHeard({
    peer: item.follower,
    term: item.term,
    sentAtMs: session.ackedSentAtMs,
    heardAtMs: session.answeredAtMs,
  });
}
