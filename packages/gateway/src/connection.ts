/**
 * One client connection from accept to close: which phase it is in, and which bytes go where. Frames messages, checks
 * their lengths, hands them on one at a time, and sees to it that nobody gets past authentication by any other way
 * than the authenticator's word. What a message means is decided in `session/`.
 */
import type { Socket } from 'node:net';
import { assert, FatalError, InvariantViolation, type Logger, type Timer } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import { Authenticator } from './authentication.ts';
import type { CancelKey } from './cancel-registry.ts';
import type { FrameBuffer } from './frame-buffer.ts';
import type { GatewayContext } from './gateway-context.ts';
import { writeNegotiateProtocolVersion } from './messages/backend-messages.ts';
import { toSqlError, writeErrorResponse } from './messages/error-response.ts';
import { MessageReader } from './messages/message-reader.ts';
import { Frontend, lengthMax } from './messages/message-types.ts';
import { Peer } from './peer.ts';
import { goodbyeFollows } from './read-ahead.ts';
import { ClientGone, type ClientLink } from './session/client-link.ts';
import type { ProtocolSession } from './session/protocol-session.ts';
import { checkStartup, startSession } from './session-start.ts';
import { decodeInitialPacket, type StartupMessage } from './startup.ts';

type Phase =
  | { readonly kind: 'initial'; readonly refused: ReadonlySet<'ssl' | 'gssenc'> }
  | {
      readonly kind: 'authenticating';
      readonly startup: StartupMessage;
      readonly authenticator: Authenticator;
      /** The authenticator waits for the client's next message. */
      wanted: boolean;
    }
  | { readonly kind: 'starting'; readonly key: CancelKey }
  | {
      readonly kind: 'serving';
      readonly key: CancelKey;
      readonly session: ProtocolSession;
      /** A message is being worked on. */
      busy: boolean;
    }
  | { readonly kind: 'over' };

const shutdownError = (): SqlError =>
  new SqlError('57P01', 'terminating connection due to administrator command', {}, 'FATAL');

const clientGoneError = (): SqlError => new SqlError('57014', 'canceling statement: client left');

/** Type byte and length. */
const frameHeaderBytes = 5;

export class Connection {
  private readonly context: GatewayContext;
  private readonly peer: Peer;
  private readonly link: ClientLink;
  private readonly reader = new MessageReader();
  private readonly deadline: Timer;
  private readonly onGone: () => void;
  private logger: Logger;
  private phase: Phase = { kind: 'initial', refused: new Set() };
  private promoted = false;
  private draining = false;

  /** The socket must have been admitted. `onGone` is called once, when it is closed. */
  constructor(socket: Socket, context: GatewayContext, onGone: () => void) {
    this.context = context;
    this.onGone = onGone;
    this.peer = new Peer(socket, context.clock, context.limits, {
      onData: () => this.guard(() => this.onData()),
      onEnd: () => this.guard(() => this.onEnd()),
      onDrain: () => this.guard(() => this.advance()),
      onClosed: () => this.onClosed(),
    });
    this.logger = context.logger;
    this.link = {
      output: this.peer.output,
      flush: () => this.peer.flush(),
      push: () => this.peer.push(),
      fatal: (error) => this.fatal(error),
    };
    this.deadline = context.clock.setTimer(context.limits.authenticationDeadlineMs, () => {
      this.logger.info({ address: this.peer.address }, 'gateway.authentication_timeout');
      this.peer.destroy('authentication_timeout');
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
    if (this.phase.kind === 'serving' && this.phase.busy) this.phase.session.abort(shutdownError());
    this.fatal(shutdownError());
  }

  private onData(): void {
    const { phase, peer } = this;
    if (
      phase.kind !== 'serving' &&
      peer.input.length > this.context.limits.unauthenticatedBytesMax
    ) {
      this.logger.warn({ address: peer.address }, 'gateway.unauthenticated_flood');
      peer.destroy('unauthenticated_flood');
      return;
    }
    this.advance();
  }

  /**
   * The client has closed its side. If it said goodbye first, it wants what it asked for before that: its statement
   * runs to its end, except one that only reads, since nobody will. Otherwise it is lost, and its statement stopped.
   */
  private onEnd(): void {
    const { phase } = this;
    if (phase.kind === 'serving' && phase.busy && goodbyeFollows(this.peer.input)) {
      phase.session.abandonRead(clientGoneError());
    } else {
      this.close('client_closed');
    }
  }

  /** Does all that can be done with the bytes at hand. */
  private advance(): void {
    for (;;) {
      const { phase } = this;
      switch (phase.kind) {
        case 'initial':
          this.readInitialPacket(phase);
          break;
        case 'authenticating':
          this.readPassword(phase);
          break;
        case 'serving':
          this.serve(phase);
          break;
        case 'starting':
        case 'over':
          return;
      }
      if (this.phase === phase) return;
    }
  }

  private readInitialPacket(phase: Extract<Phase, { kind: 'initial' }>): void {
    const { input } = this.peer;
    const packet = decodeInitialPacket(
      input.bytes,
      input.start,
      input.end,
      this.context.limits.startupBytesMax,
    );
    switch (packet.kind) {
      case 'incomplete':
        return;
      case 'ssl':
      case 'gssenc': {
        // Bytes that came along unencrypted could be somebody else's: never carry them over an upgrade.
        if (input.length > 8 || phase.refused.has(packet.kind)) {
          this.close('encryption_request_out_of_place');
          return;
        }
        input.clear();
        this.peer.output.writeByte(0x4e); // 'N': not built yet
        this.peer.flush();
        this.phase = { kind: 'initial', refused: new Set([...phase.refused, packet.kind]) };
        return;
      }
      case 'cancel': {
        const outcome = this.context.cancels.cancel(packet.processId, packet.secret);
        this.logger.debug({ processId: packet.processId, outcome }, 'gateway.cancel_request');
        this.close('cancel_request');
        return;
      }
      case 'unsupported':
        this.fatalCode(
          '0A000',
          `unsupported frontend protocol ${packet.major}.${packet.minor}: server supports 3.0 to 3.0`,
        );
        return;
      case 'malformed':
        this.fatalCode('08P01', packet.reason);
        return;
      case 'garbage':
        this.close('garbage');
        return;
      case 'startup':
        input.consume(input.bytes.readUInt32BE(input.start));
        this.authenticate(packet);
        return;
    }
  }

  private authenticate(startup: StartupMessage): void {
    let user: string;
    try {
      ({ user } = checkStartup(startup));
    } catch (error) {
      this.refuse(error);
      return;
    }
    if (startup.minorVersion > 0 || startup.protocolOptions.length > 0) {
      writeNegotiateProtocolVersion(this.peer.output, startup.protocolOptions);
    }
    const current = (): Extract<Phase, { kind: 'authenticating' }> | undefined =>
      this.phase === phase ? phase : undefined;
    const authenticator = new Authenticator(user, this.context.authentication, {
      send: (bytes) => {
        if (current() === undefined) return;
        this.peer.output.writeBytes(bytes);
        this.peer.flush();
      },
      onMessageWanted: () =>
        this.guard(() => {
          const now = current();
          if (now === undefined) return;
          now.wanted = true;
          this.advance();
        }),
      onAuthenticated: () =>
        this.guard(() => {
          if (current() !== undefined) this.start(startup);
        }),
      onRefused: () =>
        this.guard(() => {
          if (current() === undefined) return;
          this.logger.info({ address: this.peer.address, user }, 'gateway.authentication_failed');
          this.fatalCode('28P01', `password authentication failed for user "${user}"`);
        }),
    });
    const phase: Extract<Phase, { kind: 'authenticating' }> = {
      kind: 'authenticating',
      startup,
      authenticator,
      wanted: false,
    };
    this.phase = phase;
  }

  /** Hands one whole password message on; anything else before authentication ends the connection. */
  private readPassword(phase: Extract<Phase, { kind: 'authenticating' }>): void {
    const { input } = this.peer;
    if (!phase.wanted || input.length < 1) return;
    const type = input.bytes[input.start] as number;
    if (type !== Frontend.password) {
      if (type === Frontend.terminate) this.close('client_terminated');
      else this.fatalCode('08P01', 'expected password response');
      return;
    }
    if (input.length < 5) return;
    const length = input.bytes.readUInt32BE(input.start + 1);
    if (length < 4 || length > this.context.limits.smallMessageBytesMax) {
      this.fatalCode('08P01', 'invalid message length');
      return;
    }
    if (input.length < length + 1) return;
    phase.wanted = false;
    phase.authenticator.receive(input.bytes.subarray(input.start, input.start + length + 1));
    input.consume(length + 1);
  }

  /** Called on the authenticator's word only. */
  private start(startup: StartupMessage): void {
    assert(this.phase.kind === 'authenticating', 'a session starts after authentication');
    this.promoted = this.context.admission.promote(this.peer.address);
    if (!this.promoted) {
      this.logger.warn({ address: this.peer.address }, 'gateway.too_many_clients');
      this.fatalCode('53300', 'sorry, too many clients already');
      return;
    }
    const key = this.context.cancels.register(() => {
      if (this.phase.kind === 'serving') {
        this.phase.session.abort(new SqlError('57014', 'canceling statement due to user request'));
      }
    });
    this.phase = { kind: 'starting', key };
    this.logger = this.logger.child({ processId: key.processId });
    startSession({
      context: this.context,
      startup,
      link: this.link,
      key,
      logger: this.logger,
    }).then(
      (session) =>
        this.guard(() => {
          if (this.phase.kind !== 'starting') return;
          this.deadline.cancel();
          this.phase = { kind: 'serving', key, session, busy: false };
          this.advance();
        }),
      (error: unknown) => this.guard(() => this.refuse(error)),
    );
  }

  /** The hot path: takes messages off the input until one has to be waited for. */
  private serve(phase: Extract<Phase, { kind: 'serving' }>): void {
    const { peer, reader } = this;
    const { input } = peer;
    const { session } = phase;
    while (!phase.busy && !peer.blocked && this.phase === phase) {
      if (this.draining && session.idle) {
        this.fatal(shutdownError());
        return;
      }
      const length = this.nextFrameBytes(input);
      if (length === 0) break;
      const { bytes, start } = input;
      const type = bytes[start] as number;
      input.consume(length);
      if (type === Frontend.terminate) {
        this.close('client_terminated');
        return;
      }
      reader.reset(bytes, start + frameHeaderBytes, start + length);
      const pending = session.handle(type, reader);
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
      this.fatalCode('08P01', `invalid frontend message type ${type}`);
      return 0;
    }
    if (input.length < frameHeaderBytes) return 0;
    const length = bytes.readUInt32BE(start + 1);
    if (length < 4 || length > max) {
      this.fatalCode('08P01', 'invalid message length');
      return 0;
    }
    return input.length < length + 1 ? 0 : length + 1;
  }

  private wait(phase: Extract<Phase, { kind: 'serving' }>, pending: Promise<void>): void {
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
  private pace(phase: Extract<Phase, { kind: 'serving' }>): void {
    const { peer, reader } = this;
    const { input } = peer;
    const waiting = phase.busy || peer.blocked;
    if (waiting) {
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
  }

  private refuse(error: unknown): void {
    if (error instanceof ClientGone) return;
    const known = toSqlError(error);
    if (known === undefined) {
      if (error instanceof InvariantViolation || error instanceof FatalError) throw error;
      const stack = error instanceof Error ? error.stack : String(error);
      this.logger.error({ stack }, 'gateway.session_start_failed');
    }
    this.fatal(known ?? new SqlError('XX000', 'internal error'));
  }

  private fatalCode(code: string, message: string): void {
    this.fatal(new SqlError(code, message));
  }

  /** Says why, and closes. */
  private fatal(error: SqlError): void {
    if (this.phase.kind === 'over' || !this.peer.open) return;
    this.logger.info({ address: this.peer.address, code: error.code }, 'gateway.fatal');
    writeErrorResponse(this.peer.output, error, 'FATAL');
    this.close(error.code);
  }

  private close(reason: string): void {
    this.logger.debug({ address: this.peer.address, reason }, 'gateway.close');
    this.leavePhase();
    this.peer.end();
  }

  /** Lets go of what the phase holds; a running statement is stopped. */
  private leavePhase(): void {
    const { phase } = this;
    this.phase = { kind: 'over' };
    this.deadline.cancel();
    if (phase.kind === 'authenticating') phase.authenticator.abandon();
    if (phase.kind === 'serving') phase.session.abort(shutdownError());
    if (phase.kind === 'serving' || phase.kind === 'starting') {
      this.context.cancels.unregister(phase.key);
    }
  }

  private onClosed(): void {
    const { failure } = this.peer;
    if (failure !== undefined) {
      this.logger.debug({ address: this.peer.address, failure }, 'gateway.socket_failed');
    }
    this.leavePhase();
    this.context.admission.leave(this.peer.address, this.promoted);
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
