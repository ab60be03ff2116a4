/**
 * From the first byte of a connection to its session: encryption requests, cancel requests, start-up, authentication,
 * session start. There is one way to the end, and it leads through the authenticator's word. Made and fed by
 * `connection.ts`; done with once it has called one of its events other than `onCancel`.
 */
import type { TLSSocket } from 'node:tls';
import { assert, FatalError, InvariantViolation, type Logger } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import { Authenticator } from './authentication.ts';
import type { CancelKey } from './cancel-registry.ts';
import { defectFacts } from './defect-facts.ts';
import type { GatewayContext } from './gateway-context.ts';
import { writeNegotiateProtocolVersion } from './messages/backend-messages.ts';
import { toSqlError } from './messages/error-response.ts';
import { Frontend, frameHeaderBytes } from './messages/message-types.ts';
import type { Peer } from './peer.ts';
import type { ClientLink } from './session/client-link.ts';
import type { ProtocolSession } from './session/protocol-session.ts';
import { type Access, decideAccess } from './session-access.ts';
import { checkStartup, startSession } from './session-start.ts';
import { decodeInitialPacket, type InitialPacket, type StartupMessage } from './startup.ts';
import { alpnProtocol, type TlsUpgrader } from './tls.ts';

export interface HandshakeEvents {
  /** The client has authenticated. Its place and key, or undefined if there is no room. */
  admit(): CancelKey | undefined;
  /** The session of this role counts from now on. Throws SqlError 53300. */
  enterRole(user: string, limit: number): void;
  onStarted(session: ProtocolSession): void;
  /** To be told to the client, then closed. */
  onRefused(error: SqlError): void;
  /** To be closed without a word. */
  onClosing(reason: string): void;
  /** Something escaped in a callback: a defect. */
  onDefect(error: unknown): void;
}

export interface HandshakeOptions {
  readonly context: GatewayContext;
  readonly peer: Peer;
  readonly link: ClientLink;
  readonly logger: Logger;
  readonly events: HandshakeEvents;
}

type Step =
  | { readonly kind: 'initial'; readonly refused: ReadonlySet<'ssl' | 'gssenc'> }
  /** Between the request for TLS and its first bytes. */
  | { readonly kind: 'encrypting' }
  | {
      readonly kind: 'authenticating';
      readonly startup: StartupMessage;
      readonly user: string;
      readonly authenticator: Authenticator;
      /** The user has to be a role. */
      readonly mustExist: boolean;
      /** The authenticator waits for the client's next message. */
      wanted: boolean;
    }
  | { readonly kind: 'starting' }
  | { readonly kind: 'over' };

/** First byte of a TLS handshake record. */
const tlsHandshakeRecord = 0x16;

type Authenticating = Extract<Step, { kind: 'authenticating' }>;

export class Handshake {
  private readonly context: GatewayContext;
  private readonly peer: Peer;
  private readonly link: ClientLink;
  private readonly logger: Logger;
  private readonly events: HandshakeEvents;
  private step: Step = { kind: 'initial', refused: new Set() };
  /** Set once the connection is encrypted. */
  private secure: TLSSocket | undefined;

  constructor(options: HandshakeOptions) {
    this.context = options.context;
    this.peer = options.peer;
    this.link = options.link;
    this.logger = options.logger;
    this.events = options.events;
  }

  /** Bytes have come in. Those behind the start-up packet stay where they are until somebody wants them. */
  advance(): void {
    const { step, peer } = this;
    if (peer.input.length > this.context.limits.unauthenticatedBytesMax) {
      this.close('unauthenticated_flood');
    } else if (step.kind === 'initial') {
      this.readInitialPacket(step.refused);
    } else if (step.kind === 'authenticating') {
      this.readPassword(step);
    }
  }

  /** The connection is over. No event follows. */
  abandon(): void {
    const { step } = this;
    this.step = { kind: 'over' };
    if (step.kind === 'authenticating') step.authenticator.abandon();
  }

  /** What to tell the client now that the time is up. Undefined: it has not sent its start-up packet yet. */
  overdue(): SqlError | undefined {
    const { step } = this;
    if (step.kind === 'authenticating' && step.wanted)
      return new SqlError('57014', 'canceling authentication due to timeout');
    if (step.kind !== 'authenticating' && step.kind !== 'starting') return undefined;
    return new SqlError('57P03', 'the cluster did not answer in time to start a session', {
      hint: 'Connect again; "flotilla status" shows stores that are silent and ranges without a leader.',
    });
  }

  private readInitialPacket(refused: ReadonlySet<'ssl' | 'gssenc'>): void {
    const { input } = this.peer;
    const { startupBytesMax } = this.context.limits;
    const { tls } = this.context;
    // TLS from the first byte: PostgreSQL's own length cannot begin like this.
    if (
      tls !== undefined &&
      this.secure === undefined &&
      refused.size === 0 &&
      input.bytes[input.start] === tlsHandshakeRecord
    ) {
      this.encrypt(tls, true);
      return;
    }
    const packet = decodeInitialPacket(input.bytes, input.start, input.end, startupBytesMax);
    switch (packet.kind) {
      case 'incomplete':
        return;
      case 'ssl':
      case 'gssenc':
        this.answerEncryptionRequest(packet.kind, refused);
        return;
      case 'cancel':
        this.cancel(packet);
        return;
      case 'unsupported':
        this.refuse(
          new SqlError(
            '0A000',
            `unsupported frontend protocol ${packet.major}.${packet.minor}: server supports 3.0`,
          ),
        );
        return;
      case 'malformed':
        this.refuse(new SqlError('08P01', packet.reason));
        return;
      case 'garbage':
        this.close(`garbage: ${packet.reason}`);
        return;
      case 'startup':
        input.consume(packet.bytes);
        this.authenticate(packet);
        return;
    }
  }

  private answerEncryptionRequest(
    kind: 'ssl' | 'gssenc',
    refused: ReadonlySet<'ssl' | 'gssenc'>,
  ): void {
    const { input, output } = this.peer;
    const { tls } = this.context;
    // Bytes that came along unencrypted could be somebody else's: never carry them over an upgrade.
    if (input.length > 8 || refused.has(kind) || this.secure !== undefined) {
      this.close('encryption request out of place');
      return;
    }
    input.clear();
    if (kind === 'ssl' && tls !== undefined) {
      output.writeByte(0x53); // 'S'
      this.peer.flush();
      this.encrypt(tls, false);
      return;
    }
    this.step = { kind: 'initial', refused: new Set([...refused, kind]) };
    output.writeByte(0x4e); // 'N'
    this.peer.flush();
  }

  /** @param direct the client began with TLS, and has to say there that it means PostgreSQL */
  private encrypt(tls: TlsUpgrader, direct: boolean): void {
    this.step = { kind: 'encrypting' };
    this.peer.startTls(tls, (socket) => {
      if (this.step.kind !== 'encrypting') return;
      if (direct && socket.alpnProtocol !== alpnProtocol) {
        this.close('direct TLS without ALPN');
        return;
      }
      this.secure = socket;
      this.step = { kind: 'initial', refused: new Set() };
    });
  }

  private cancel(packet: Extract<InitialPacket, { kind: 'cancel' }>): void {
    const { processId } = packet;
    const outcome = this.context.cancels.cancel(processId, packet.secret);
    this.logger.info({ address: this.peer.address, processId, outcome }, 'gateway_cancel_request');
    if (outcome === 'other_gateway')
      this.context.forwardCancel({ processId, secret: packet.secret });
    this.close('cancel request');
  }

  private authenticate(startup: StartupMessage): void {
    let user: string;
    let access: Access;
    try {
      const checked = checkStartup(startup);
      user = checked.user;
      access = decideAccess({
        context: this.context,
        secure: this.secure,
        address: this.peer.address,
        ...checked,
      });
    } catch (error) {
      this.fail(error);
      return;
    }
    if (startup.minorVersion > 0 || startup.protocolOptions.length > 0) {
      writeNegotiateProtocolVersion(this.peer.output, startup.protocolOptions);
    }
    // The authenticator speaks only after this turn, so `step` is set by then; it may speak too late.
    const whileCurrent = (work: () => void): void => {
      if (this.step !== step) return;
      try {
        work();
      } catch (error) {
        this.events.onDefect(error);
      }
    };
    const authenticator = new Authenticator(user, access.method, {
      send: (bytes) =>
        whileCurrent(() => {
          this.peer.output.writeBytes(bytes);
          this.peer.flush();
        }),
      onMessageWanted: () =>
        whileCurrent(() => {
          step.wanted = true;
          this.readPassword(step);
        }),
      onAuthenticated: () => whileCurrent(() => this.start(step)),
      onFailed: (error) => whileCurrent(() => this.fail(error)),
      onRefused: () =>
        whileCurrent(() =>
          this.refuse(new SqlError('28P01', `password authentication failed for user "${user}"`)),
        ),
    });
    const step: Authenticating = {
      kind: 'authenticating',
      startup,
      user,
      authenticator,
      mustExist: access.mustExist,
      wanted: false,
    };
    this.step = step;
  }

  /** Hands one whole password message on. Anything else before authentication ends the connection. */
  private readPassword(step: Authenticating): void {
    const { input } = this.peer;
    if (!step.wanted || input.length < 1) return;
    const type = input.bytes[input.start] as number;
    if (type === Frontend.terminate) {
      this.close('client terminated');
      return;
    }
    if (type !== Frontend.password) {
      this.refuse(new SqlError('08P01', `expected password response, got message type ${type}`));
      return;
    }
    if (input.length < frameHeaderBytes) return;
    const length = input.bytes.readUInt32BE(input.start + 1);
    if (length < 4 || length > this.context.limits.smallMessageBytesMax) {
      this.refuse(new SqlError('08P01', 'invalid password packet size'));
      return;
    }
    if (input.length < length + 1) return;
    step.wanted = false;
    step.authenticator.receive(input.bytes.subarray(input.start, input.start + length + 1));
    input.consume(length + 1);
  }

  /** Called on the authenticator's word only. */
  private start(step: Authenticating): void {
    assert(this.step === step, 'a session starts from its own authentication');
    const key = this.events.admit();
    if (key === undefined) {
      this.refuse(new SqlError('53300', 'sorry, too many clients already'));
      return;
    }
    this.step = { kind: 'starting' };
    const { context, link } = this;
    const { mustExist } = step;
    const enterRole = (user: string, limit: number): void => {
      // Whoever has left meanwhile is counted no more.
      if (this.step.kind === 'starting') this.events.enterRole(user, limit);
    };
    const logger = this.logger.child({ processId: key.processId });
    const { address, port } = this.peer;
    startSession({
      context,
      startup: step.startup,
      ...{ link, key, logger, mustExist, enterRole, address, port },
    }).then(
      (session) => {
        if (this.step.kind === 'starting') this.events.onStarted(session);
      },
      (error: unknown) => {
        if (this.step.kind === 'starting') this.fail(error);
      },
    );
  }

  /** Reports what was thrown, unless it must end the process. */
  private fail(error: unknown): void {
    if (error instanceof InvariantViolation || error instanceof FatalError) {
      this.events.onDefect(error);
      return;
    }
    const known = toSqlError(error);
    if (known === undefined) this.logger.error(defectFacts(error), 'gateway_session_start_failed');
    this.refuse(known ?? new SqlError('XX000', 'internal error'));
  }

  private refuse(error: SqlError): void {
    this.abandon();
    this.events.onRefused(error);
  }

  private close(reason: string): void {
    this.abandon();
    this.events.onClosing(reason);
  }
}
