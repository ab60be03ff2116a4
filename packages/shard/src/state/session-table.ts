/**
 * Who wrote what with which serial number, per range: the reason why a retried command takes effect once. Part of the
 * replicated state: changed only by applying log entries, in their order, and saved with every checkpoint. Holds no
 * clock and decides nothing; which session makes room for a new one, and how long one may rest, is decided by the
 * leaseholder and replicated.
 */
import { assert } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { SerialTable } from './serial-table.ts';

export interface SessionResult {
  /** Log index of the entry that took effect. */
  readonly index: number;
  readonly timestamp: number;
  /** 1 + index of the condition that did not hold; 0 = the write was made. */
  readonly failedCondition: number;
  readonly foundTimestamp: number;
  /** Of the versions written, if not `timestamp`; else 0. */
  readonly versionTimestamp: number;
}

export interface Session {
  readonly sessionId: number;
  readonly nonce: Buffer;
  /** Results up to and including this serial are forgotten. */
  ackedUpTo: number;
  lastIndex: number;
  /** Of the last command, or of the registration. In the order of the table it only rises. */
  lastTimestamp: number;
  /** By serial. */
  readonly results: SerialTable<SessionResult>;
}

export class SessionTable {
  /** In order of last use: the first is the next to go. */
  private readonly sessions = new Map<number, Session>();
  private readonly byNonce = new Map<string, Session>();
  /** The last in that order, even if evicted since. */
  private newest: Session | undefined;

  get size(): number {
    return this.sessions.size;
  }

  find(sessionId: number): Session | undefined {
    return this.sessions.get(sessionId);
  }

  findByNonce(nonce: Uint8Array): Session | undefined {
    return this.byNonce.get(nonceKey(nonce));
  }

  /** The least recently used. */
  oldest(): Session | undefined {
    for (const session of this.sessions.values()) return session;
    return undefined;
  }

  /** Least recently used first. */
  ids(): IterableIterator<number> {
    return this.sessions.keys();
  }

  /** @param sessionId the registering command's timestamp */
  register(sessionId: number, nonce: Uint8Array, index: number): void {
    assert(!this.sessions.has(sessionId), 'a session id is new', { sessionId });
    this.add({
      sessionId,
      nonce: Buffer.from(nonce),
      ackedUpTo: 0,
      lastIndex: index,
      lastTimestamp: sessionId,
      results: new SerialTable(),
    });
  }

  evict(sessionId: number): void {
    const session = this.sessions.get(sessionId);
    if (session === undefined) return;
    this.sessions.delete(sessionId);
    this.byNonce.delete(nonceKey(session.nonce));
  }

  /** Evicts the sessions that were last used before `timestamp`. @returns how many */
  expireBefore(timestamp: number): number {
    let expired = 0;
    for (const session of this.sessions.values()) {
      if (session.lastTimestamp >= timestamp) break;
      this.evict(session.sessionId);
      expired++;
    }
    return expired;
  }

  /** Notes the result of a serial and forgets what the client has acknowledged. */
  record(session: Session, serial: number, ackedUpTo: number, result: SessionResult): void {
    assert(serial > session.ackedUpTo && !session.results.has(serial), 'a serial is new', {
      serial,
    });
    session.results.set(serial, result);
    session.lastIndex = result.index;
    session.lastTimestamp = result.timestamp;
    if (ackedUpTo > session.ackedUpTo) forget(session, ackedUpTo);
    this.touch(session);
  }

  toRows(): flotilla.kv.SessionRow.$Properties[] {
    return [...this.sessions.values()].map((session) => ({
      version: 1,
      sessionId: session.sessionId,
      ackedUpTo: session.ackedUpTo,
      lastIndex: session.lastIndex,
      lastTimestamp: session.lastTimestamp,
      nonce: session.nonce,
      results: session.results.entries().map(([serial, result]) => ({ serial, ...result })),
    }));
  }

  /** The same sessions, in the same order, that change on their own from here on. */
  copy(): SessionTable {
    const table = new SessionTable();
    for (const session of this.sessions.values())
      table.add({ ...session, results: session.results.copy() });
    return table;
  }

  static fromRows(rows: readonly flotilla.kv.SessionRow.$Properties[]): SessionTable {
    const table = new SessionTable();
    for (const row of rows) {
      assert(row.version === 1, 'session row has a known version', { version: row.version });
      const results = new SerialTable<SessionResult>();
      for (const result of row.results ?? [])
        results.set(result.serial ?? 0, {
          index: result.index ?? 0,
          timestamp: result.timestamp ?? 0,
          failedCondition: result.failedCondition ?? 0,
          foundTimestamp: result.foundTimestamp ?? 0,
          versionTimestamp: result.versionTimestamp ?? 0,
        });
      table.add({
        sessionId: row.sessionId ?? 0,
        nonce: Buffer.from(row.nonce ?? new Uint8Array(0)),
        ackedUpTo: row.ackedUpTo ?? 0,
        lastIndex: row.lastIndex ?? 0,
        lastTimestamp: row.lastTimestamp ?? 0,
        results,
      });
    }
    return table;
  }

  /** Makes it the last to go. Mostly it is already: commands of one client come in runs. */
  private touch(session: Session): void {
    if (this.newest === session) return;
    this.newest = session;
    this.sessions.delete(session.sessionId);
    this.sessions.set(session.sessionId, session);
  }

  private add(session: Session): void {
    this.newest = session;
    this.sessions.set(session.sessionId, session);
    this.byNonce.set(nonceKey(session.nonce), session);
  }
}

function forget(session: Session, ackedUpTo: number): void {
  session.results.deleteUpTo(ackedUpTo);
  session.ackedUpTo = ackedUpTo;
}

export function nonceKey(nonce: Uint8Array): string {
  return Buffer.from(nonce).toString('latin1');
}
