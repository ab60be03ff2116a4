/**
 * One client connection from accept to close. Frames messages, checks their lengths, hands them on one at a time, and
 * decides when to read on, when to wait and when to end. Who the client is, is settled in `handshake.ts`; what a
 * message means, in `session/`.
 */
import type { Socket } from 'node:net';
import { present, type Timer } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import type { CancelKey } from './cancel-registry.ts';
import type { FrameBuffer } from './frame-buffer.ts';
import type { GatewayContext } from './gateway-context.ts';
import { Handshake } from './handshake.ts';
import { writeErrorResponse } from './messages/error-response.ts';
import { MessageReader } from './messages/message-reader.ts';
import { Frontend, frameHeaderBytes, lengthMax } from './messages/message-types.ts';
import { Peer } from './peer.ts';
import { goodbyeFollows } from './read-ahead.ts';
import type { ClientLink } from './session/client-link.ts';
import type { ProtocolSession } from './session/protocol-session.ts';
import { cancelError } from './session-start.ts';

type Phase =
  | { readonly kind: 'handshake'; readonly handshake: Handshake }
  | {
      readonly kind: 'serving';
      readonly session: ProtocolSession;
      /** A message is being worked on. */
      busy: boolean;
    }
  | { readonly kind: 'over' };

type Serving = Extract<Phase, { kind: 'serving' }>;

export class Connection {
  private readonly context: GatewayContext;
  private readonly peer: Peer;
  private readonly reader = new MessageReader();
  private readonly deadline: Timer;
  private readonly onGone: () => void;
  private phase: Phase;
  private idleTimer: Timer | undefined;
  private key: CancelKey | undefined;
  private promoted = false;
  /** Whose session it is, as far as that is counted. */
  private role: string | undefined;
  private draining = false;

  /** The socket must have been admitted. `onGone` is called once, when it is closed. */
  constructor(socket: Socket, context: GatewayContext, onGone: () => void) {
    const { clock, limits, logger } = context;
    this.context = context;
    this.onGone = onGone;
    this.peer = new Peer(socket, clock, limits, {
      onData: () => this.guard(() => this.advance()),
      onEnd: () => this.guard(() => this.onEnd()),
      onDrain: () => this.guard(() => this.advance()),
      onClosed: () => this.guard(() => this.onClosed()),
    });
    const link: ClientLink = {
      output: this.peer.output,
      flush: () => this.peer.flush(),
      push: () => this.peer.push(),
      fatal: (error) => this.fatal(error),
    };
    const handshake = new Handshake({
      context,
      peer: this.peer,
      link,
      logger,
      events: {
        admit: () => this.admit(),
        enterRole: (user, limit) => {
          context.roleConnections.enter(user, limit);
          this.role = user;
        },
        onStarted: (session) => this.guard(() => this.onStarted(session)),
        onRefused: (error) => this.fatal(error),
        onClosing: (reason) => this.close(reason),
        onDefect: (error) => this.die(error),
      },
    });
    this.phase = { kind: 'handshake', handshake };
    this.deadline = clock.setTimer(limits.authenticationDeadlineMs, () => {
      logger.info({ address: this.peer.address }, 'gateway_authentication_timeout');
      this.guard(() => this.onDeadline());
    });
  }

  /** Ends the conversation as soon as nothing is owed to the client. */
  drain(): void {
    this.draining = true;
    this.guard(() => {
      if (this.phase.kind === 'serving') this.advance();
      else this.fatal(shutdownError());
    });
  }

  /** Ends the conversation now; a running statement is stopped. */
  shutDown(): void {
    this.guard(() => this.fatal(shutdownError()));
  }

  /** Whoever has not said what it wants is dropped without a word; all others are told whom it was that they waited for. */
  private onDeadline(): void {
    const error = this.phase.kind === 'handshake' ? this.phase.handshake.overdue() : undefined;
    if (error === undefined) this.peer.destroy('authentication timeout');
    else this.fatal(error);
  }

  private admit(): CancelKey | undefined {
    this.promoted = this.context.admission.promote(this.peer.address);
    if (!this.promoted) return undefined;
    this.key = this.context.cancels.register(() => {
      if (this.phase.kind === 'serving') this.phase.session.abort(cancelError());
    });
    return this.key;
  }

  private onStarted(session: ProtocolSession): void {
    this.deadline.cancel();
    this.phase = { kind: 'serving', session, busy: false };
    const { processId } = present(this.key, 'the key of an admitted client');
    this.context.logger.debug({ address: this.peer.address, processId }, 'gateway_session_started');
    this.advance();
  }

  /**
   * The client has closed its side. If it said goodbye first, it wants what it asked for before that: its statement
   * runs to its end, except one that only reads, since nobody will. Otherwise it is lost, and its statement stopped.
   */
  private onEnd(): void {
    const { phase } = this;
    if (phase.kind === 'serving' && phase.busy && goodbyeFollows(this.peer.input)) {
      phase.session.abandonRead(goneError());
    } else {
      this.close('client closed');
    }
  }

  /** Does all that can be done with the bytes at hand. */
  private advance(): void {
    const { phase } = this;
    if (phase.kind === 'handshake') phase.handshake.advance();
    else if (phase.kind === 'serving') this.serve(phase);
  }

  /** The hot path: takes messages off the input until one has to be waited for. */
  private serve(phase: Serving): void {
    const { peer, reader } = this;
    const { input } = peer;
    const { session } = phase;
    this.idleTimer?.cancel();
    while (!phase.busy && !peer.blocked && this.phase === phase) {
      if (this.draining && session.idle) {
        this.fatal(shutdownError());
        return;
      }
      const length = this.nextFrameBytes(input);
      if (length === 0) break;
      const { bytes, start } = input;
      input.consume(length);
      if (bytes[start] === Frontend.terminate) {
        this.close('client terminated');
        return;
      }
      reader.reset(bytes, start + frameHeaderBytes, start + length);
      const syncFollows = input.length > 0 && input.bytes[input.start] === Frontend.sync;
      const pending = session.handle(bytes[start] as number, reader, syncFollows);
      if (pending !== undefined) this.wait(phase, pending);
    }
    if (this.phase === phase) this.pace(phase);
  }

  /** Bytes of the next whole message, its header included; 0 if it is not all there, or is refused. */
  private nextFrameBytes(input: FrameBuffer): number {
    const { bytes, start } = input;
    if (input.length < 1) return 0;
    const type = bytes[start] as number;
    const max = lengthMax(type, this.context.limits);
    if (max === 0) {
      this.fatal(new SqlError('08P01', `invalid frontend message type ${type}`));
      return 0;
    }
    if (input.length < frameHeaderBytes) return 0;
    const length = bytes.readUInt32BE(start + 1);
    if (length < 4 || length > max) {
      this.fatal(new SqlError('08P01', 'invalid message length'));
      return 0;
    }
    return input.length < length + 1 ? 0 : length + 1;
  }

  private wait(phase: Serving, pending: Promise<void>): void {
    phase.busy = true;
    pending.then(
      () => {
        phase.busy = false;
        this.guard(() => this.advance());
      },
      (error: unknown) => this.die(error),
    );
  }

  /** Out of work for now: decides whether to read on, and whether the client owes us something. */
  private pace(phase: Serving): void {
    const { peer, reader } = this;
    const { input } = peer;
    if (phase.busy || peer.blocked) {
      peer.expectMore(false);
      peer.setReading(input.length < this.context.limits.readAheadBytesMax);
      return;
    }
    if (phase.session.failed) peer.flush(); // an error does not wait for the Sync that is still to come
    if (this.draining) {
      this.fatal(shutdownError());
      return;
    }
    if (input.length === 0) {
      reader.release();
      input.shrink();
    }
    peer.expectMore(input.length > 0);
    peer.setReading(true);
    const limit = phase.session.idle ? phase.session.idleLimit : undefined;
    if (limit !== undefined)
      this.idleTimer = this.context.clock.setTimer(limit.ms, () => this.fatal(limit.error()));
  }

  /** Says why, and closes. */
  private fatal(error: SqlError): void {
    if (this.phase.kind === 'over' || !this.peer.open) return;
    const { address, output } = this.peer;
    this.context.logger.info({ address, code: error.code }, 'gateway_refused');
    this.context.counters.failed(error.code);
    writeErrorResponse(output, error, 'FATAL');
    this.close(error.code);
  }

  private close(reason: string): void {
    this.context.logger.debug({ address: this.peer.address, reason }, 'gateway_close');
    this.leavePhase();
    this.peer.end();
  }

  /** Lets go of what the phase holds; a running statement is stopped. */
  private leavePhase(): void {
    const { phase, key } = this;
    this.phase = { kind: 'over' };
    this.key = undefined;
    this.deadline.cancel();
    this.idleTimer?.cancel();
    if (phase.kind === 'handshake') phase.handshake.abandon();
    if (phase.kind === 'serving') {
      phase.session.abort(goneError());
      phase.session.close();
    }
    if (key !== undefined) this.context.cancels.unregister(key);
    if (this.role !== undefined) this.context.roleConnections.leave(this.role);
    this.role = undefined;
  }

  private onClosed(): void {
    const { failure, address } = this.peer;
    if (failure !== undefined) {
      this.context.logger.debug({ address, failure }, 'gateway_socket_failed');
    }
    this.leavePhase();
    this.context.admission.leave(address, this.promoted);
    this.onGone();
  }

  /** Whatever escapes from here is a defect; it ends the process rather than being lost in an event handler. */
  private guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.die(error);
    }
  }

  private die(error: unknown): void {
    this.peer.destroy('defect');
    this.context.onFatal(error);
  }
}

function shutdownError(): SqlError {
  return new SqlError('57P01', 'terminating connection due to administrator command');
}

/** Never read by anybody. */
function goneError(): SqlError {
  return new SqlError('57014', 'canceling statement: the client has left');
}
