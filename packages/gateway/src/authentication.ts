/**
 * Who is it? Start-up and password exchange run in pg-gateway, off the hot path. It never sees the socket: it is given
 * one whole message at a time through an in-memory duplex, each in memory of its own (its reader counts offsets from
 * the start of the underlying ArrayBuffer), and it is detached at the moment it calls the user authenticated, so that
 * none of the client's bytes can be left in its buffers. Its start-up message is written here from what we parsed, so
 * that the two can not disagree about the user's name.
 */
import {
  closeSignal,
  PostgresConnection,
  type ScramSha256Data,
  type tlsUpgradeSignal,
} from 'pg-gateway';

export type { ScramSha256Data };

export type AuthenticationMethod =
  /** Everybody is who he says he is. For loopback and tests. */
  | { readonly method: 'trust' }
  /**
   * SCRAM-SHA-256 (RFC 7677). `lookup` gives the stored verifier; for a user that does not exist it must give a
   * made-up one that stays the same for the name, so that names can not be probed.
   */
  | {
      readonly method: 'scram-sha-256';
      readonly lookup: (user: string) => Promise<ScramSha256Data>;
    };

export interface AuthenticatorEvents {
  /** Bytes for the client: an authentication request or AuthenticationOk. */
  send(bytes: Uint8Array): void;
  /** The client has been asked for a message: hand in the next one with `receive`. */
  onMessageWanted(): void;
  onAuthenticated(): void;
  /** Wrong password, wrong mechanism, malformed message. */
  onRefused(): void;
  /** The verifier could not be looked up. */
  onFailed(error: unknown): void;
}

const authenticationType = 0x52; // 'R'
const authenticationOk = 0;
const saslFinal = 12;

/** A failure inside the library is a refusal; the library itself would print it. */
class QuietConnection extends PostgresConnection {
  override async *handleClientMessage(
    message: Uint8Array,
  ): AsyncGenerator<Uint8Array | typeof tlsUpgradeSignal | typeof closeSignal, void, undefined> {
    try {
      yield* super.handleClientMessage(message);
    } catch {
      yield closeSignal;
    }
  }
}

/** One authentication. Ends in exactly one of onAuthenticated, onRefused, onFailed, or `abandon`. */
export class Authenticator {
  private readonly events: AuthenticatorEvents;
  private input: ReadableStreamDefaultController<Uint8Array> | undefined;
  private state: 'running' | 'done' = 'running';

  constructor(user: string, method: AuthenticationMethod, events: AuthenticatorEvents) {
    this.events = events;
    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.input = controller;
      },
    });
    const writable = new WritableStream<Uint8Array>({
      write: (bytes) => this.onOutput(bytes),
      close: () => this.refuse(),
      abort: () => this.refuse(),
    });
    const connection = new QuietConnection(
      { readable, writable },
      {
        auth:
          method.method === 'trust'
            ? { method: 'trust' }
            : {
                method: 'scram-sha-256',
                getScramSha256Data: ({ username }) =>
                  method.lookup(username).catch((error: unknown) => {
                    this.fail(error);
                    throw error;
                  }),
              },
        onAuthenticated: async () => {
          if (this.state !== 'running') return;
          await connection.detach(); // before it says ReadyForQuery, which is ours to say
          this.finish();
          this.events.onAuthenticated();
        },
      },
    );
    this.receive(startupMessage(user));
  }

  /** Takes one whole message. Only to be called when one is wanted. */
  receive(message: Uint8Array): void {
    if (this.state !== 'running') return;
    this.input?.enqueue(Uint8Array.from(message)); // a copy with an ArrayBuffer of its own
  }

  /** The client is gone. No event follows. */
  abandon(): void {
    this.finish();
  }

  private onOutput(bytes: Uint8Array): void {
    if (this.state !== 'running') return;
    if (bytes[0] !== authenticationType || bytes.length < 9) {
      this.refuse(); // an ErrorResponse of the library: we say it in our own words
      return;
    }
    const kind = new DataView(bytes.buffer, bytes.byteOffset).getInt32(5);
    this.events.send(bytes);
    if (kind !== authenticationOk && kind !== saslFinal) this.events.onMessageWanted();
  }

  private fail(error: unknown): void {
    if (this.state !== 'running') return;
    this.finish();
    this.events.onFailed(error);
  }

  private refuse(): void {
    if (this.state !== 'running') return;
    this.finish();
    this.events.onRefused();
  }

  private finish(): void {
    if (this.state === 'done') return;
    this.state = 'done';
    try {
      this.input?.close();
    } catch {
      // Closed from the other side already.
    }
    this.input = undefined;
  }
}

/** StartupMessage 3.0 with nothing but the user's name. */
function startupMessage(user: string): Uint8Array {
  const name = Buffer.from(user, 'utf8');
  const message = Buffer.alloc(4 + 4 + 5 + name.length + 1 + 1);
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(0x0003_0000, 4);
  message.write('user\0', 8, 'latin1');
  name.copy(message, 13);
  return message;
}
