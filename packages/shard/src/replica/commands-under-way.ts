/**
 * Which serials, registrations and evictions of a leaseholder are evaluated and not yet applied: what a duplicate joins,
 * and what keeps a session from being evicted under its own commands. Bookkeeping only; decides nothing.
 */
import { SerialTable } from '../state/serial-table.ts';
import { nonceKey } from '../state/session-table.ts';
import type { Command } from './command.ts';
import type { PendingCommand } from './proposals.ts';

/** Sessions with nothing under way whose tables are kept for what they write next. */
const idleMax = 64;

/** What one session has under way. */
interface SessionUnderWay {
  readonly bySerial: SerialTable<PendingCommand>;
  /** What these commands will acknowledge when they are applied: a late copy below it must not be evaluated. */
  ackedUpTo: number;
  /** Of the latest of these commands. */
  lastTimestamp: number;
}

export class CommandsUnderWay {
  private readonly sessions = new Map<number, SessionUnderWay>();
  /** How many of them have nothing under way. */
  private idle = 0;
  private readonly registering = new Map<string, PendingCommand>();
  private readonly evicting = new Set<number>();

  find(sessionId: number, serial: number): PendingCommand | undefined {
    return this.sessions.get(sessionId)?.bySerial.get(serial);
  }

  findRegistration(nonce: Uint8Array): PendingCommand | undefined {
    return this.registering.get(nonceKey(nonce));
  }

  /** Greatest serial that a command under way will acknowledge; 0 = none. */
  ackedUpTo(sessionId: number): number {
    return this.active(sessionId)?.ackedUpTo ?? 0;
  }

  /** Commands of the session. */
  count(sessionId: number): number {
    return this.sessions.get(sessionId)?.bySerial.size ?? 0;
  }

  /** Timestamp of the session's latest command; 0 = none. */
  lastTimestamp(sessionId: number): number {
    return this.active(sessionId)?.lastTimestamp ?? 0;
  }

  serials(sessionId: number): Iterable<number> {
    return this.sessions.get(sessionId)?.bySerial.keys() ?? [];
  }

  isEvicting(sessionId: number): boolean {
    return this.evicting.has(sessionId);
  }

  /** By how many sessions the table will have grown when everything under way is applied. */
  get sessionsGained(): number {
    return this.registering.size - this.evicting.size;
  }

  add(pending: PendingCommand): void {
    const { command } = pending;
    if (command.registerNonce.length > 0) {
      this.registering.set(nonceKey(command.registerNonce), pending);
      if (command.evictedSessionId !== 0) this.evicting.add(command.evictedSessionId);
    } else if (command.sessionId !== 0) {
      let session = this.sessions.get(command.sessionId);
      if (session === undefined) {
        session = { bySerial: new SerialTable(), ackedUpTo: 0, lastTimestamp: 0 };
        this.sessions.set(command.sessionId, session);
      } else if (session.bySerial.size === 0) {
        this.idle--;
        session.ackedUpTo = 0;
      }
      session.bySerial.set(command.serial, pending);
      session.ackedUpTo = Math.max(session.ackedUpTo, command.ackedUpTo);
      session.lastTimestamp = command.timestamp;
    }
  }

  /** The command is applied and visible. */
  settle(command: Command): void {
    if (command.registerNonce.length > 0) {
      this.registering.delete(nonceKey(command.registerNonce));
      this.evicting.delete(command.evictedSessionId);
    } else if (command.sessionId !== 0) {
      const session = this.active(command.sessionId);
      session?.bySerial.delete(command.serial);
      if (session?.bySerial.size === 0 && ++this.idle > idleMax) this.dropIdle();
    }
  }

  private active(sessionId: number): SessionUnderWay | undefined {
    const session = this.sessions.get(sessionId);
    return session?.bySerial.size === 0 ? undefined : session;
  }

  private dropIdle(): void {
    for (const [sessionId, { bySerial }] of this.sessions)
      if (bySerial.size === 0) this.sessions.delete(sessionId);
    this.idle = 0;
  }
}
