/**
 * Exactly once, the client's half: one session per range, registered when the first write needs it, and serial numbers
 * in it. A store keeps the result of a serial until it is told that every serial up to it has been answered. Sessions
 * are per range, never shared between routers, and a registration that is retried finds its own session by its nonce.
 */
import { assert, type ErrorCode } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Response } from './client-link.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type CallPiece, RangeCall } from './range-call.ts';

export class Session {
  readonly rangeId: number;
  /** 0 until registered. */
  sessionId = 0;
  /** Writes that wait for the registration, or for the window to open. In order. */
  readonly waiters: Set<RangeCall> = new Set();
  private nextSerial = 1;
  private acked = 0;
  /** Answered serials above `acked`. */
  private readonly answeredAbove = new Set<number>();

  constructor(rangeId: number) {
    this.rangeId = rangeId;
  }

  /** Every serial up to this one has been answered to the user. */
  get ackedUpTo(): number {
    return this.acked;
  }

  /** How far the next serial is ahead of the last that was answered with all before it. */
  get span(): number {
    return this.nextSerial - this.acked - 1;
  }

  takeSerial(): number {
    return this.nextSerial++;
  }

  /** Nobody will send this serial again. */
  answer(serial: number): void {
    assert(serial > this.acked && serial < this.nextSerial, 'a serial is answered once', {
      serial,
      acked: this.acked,
    });
    if (serial !== this.acked + 1) {
      this.answeredAbove.add(serial);
      return;
    }
    this.acked = serial;
    while (this.answeredAbove.delete(this.acked + 1)) this.acked++;
  }
}

export class Sessions {
  private readonly dispatcher: Dispatcher;
  private readonly noncePrefix: string;
  private readonly byRange = new Map<number, Session>();
  private nonces = 0;

  /** @param noncePrefix unique to this router: its client id */
  constructor(dispatcher: Dispatcher, noncePrefix: string) {
    this.dispatcher = dispatcher;
    this.noncePrefix = noncePrefix;
  }

  /** The range's session, registered or about to be. */
  of(rangeId: number, key: Uint8Array): Session {
    let session = this.byRange.get(rangeId);
    if (session === undefined) {
      session = new Session(rangeId);
      this.byRange.set(rangeId, session);
      this.register(session, key);
    }
    return session;
  }

  /** A write may be numbered in it now. */
  isOpen(session: Session): boolean {
    return session.sessionId !== 0 && session.span < this.dispatcher.limits.sessionWindow;
  }

  /** Dispatches the call again when the session opens, or turns out not to be the one. */
  waitFor(session: Session, call: RangeCall): void {
    session.waiters.add(call);
    this.dispatcher.waitIn('session', call);
  }

  answer(session: Session, serial: number): void {
    session.answer(serial);
    this.releaseWaiters(session);
  }

  /** The store has dropped the session: the next write registers another one. */
  expire(session: Session): void {
    this.drop(session);
    this.dispatchAll(session);
  }

  private drop(session: Session): void {
    if (this.byRange.get(session.rangeId) === session) this.byRange.delete(session.rangeId);
  }

  private register(session: Session, key: Uint8Array): void {
    const { clock, timings } = this.dispatcher;
    const call = new RegisterCall({
      session,
      key,
      nonce: Buffer.from(`${this.noncePrefix}.${++this.nonces}`),
      deadlineAtMs: clock.nowMs() + timings.helperTimeoutMs,
      registered: (sessionId) => {
        session.sessionId = sessionId;
        this.releaseWaiters(session);
      },
      // The range is not where it was, or nobody answered: whoever waits finds out for itself.
      abandoned: () => {
        this.drop(session);
        this.dispatchAll(session);
      },
      failed: (code, message) => {
        this.drop(session);
        for (const waiter of [...session.waiters]) this.dispatcher.fail(waiter, code, message);
      },
      end: (registration) => this.dispatcher.finish(registration),
    });
    this.dispatcher.dispatch(call);
  }

  private releaseWaiters(session: Session): void {
    if (session.sessionId === 0) return;
    const { sessionWindow } = this.dispatcher.limits;
    while (session.waiters.size > 0 && session.span < sessionWindow) {
      const [first] = session.waiters;
      if (first === undefined) return;
      session.waiters.delete(first);
      this.dispatcher.dispatch(first);
    }
  }

  private dispatchAll(session: Session): void {
    const waiting = [...session.waiters];
    session.waiters.clear();
    for (const call of waiting) this.dispatcher.dispatch(call);
  }
}

interface RegisterOptions {
  readonly session: Session;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly deadlineAtMs: number;
  readonly registered: (sessionId: number) => void;
  readonly abandoned: () => void;
  readonly failed: (code: ErrorCode, message: string) => void;
  readonly end: (call: RegisterCall) => void;
}

class RegisterCall extends RangeCall {
  override readonly routeKey: Uint8Array;
  private readonly options: RegisterOptions;

  constructor(options: RegisterOptions) {
    super(options.deadlineAtMs);
    this.options = options;
    this.routeKey = options.key;
  }

  override fit(piece: CallPiece): boolean {
    if (piece.range.rangeId === this.options.session.rangeId) return true;
    this.options.end(this);
    this.options.abandoned();
    return false;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    const registerSession = { nonce: this.options.nonce };
    return kv.Request.encode({
      requestId,
      timeoutMs,
      rangeId,
      generation,
      registerSession,
    }).finish();
  }

  override accepts(response: Response): boolean {
    return (response.registerSession?.sessionId ?? 0) > 0;
  }

  override complete(response: Response): void {
    this.options.registered(response.registerSession?.sessionId ?? 0);
  }

  override failWith(code: ErrorCode, message: string): void {
    if (code === 'TIMEOUT' || code === 'UNAVAILABLE') this.options.abandoned();
    else this.options.failed(code, message);
  }
}
