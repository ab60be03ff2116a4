/**
 * Puts TLS under a client's socket, with the gateway's certificate and, where client certificates are wanted, the
 * authorities that may sign them. Their source is looked at again when a connection wants TLS and a second has passed: a
 * renewed certificate is used without a restart; a broken one is logged and the last good one stays. Knows Node's TLS
 * server; knows no protocol and no files.
 */
import type { Socket } from 'node:net';
import {
  createServer,
  type PeerCertificate,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls';
import type { Clock, Logger } from '@flotilla/base';

/** All in PEM. */
export interface TlsMaterial {
  /** Leaf first. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Given: a client certificate that these have signed may stand for a password. */
  readonly clientCa?: Buffer;
}

/** Where certificates come from: files, usually. */
export interface TlsSource {
  /** Clients are asked for a certificate. */
  readonly asksForCertificates: boolean;
  /** Differs from the last answer when `read` would give something new. Cheap. May throw. */
  version(): string;
  /** May throw. */
  read(): TlsMaterial;
}

/** What PostgreSQL's clients say in ALPN when they speak TLS from the first byte. */
export const alpnProtocol = 'postgresql';

/** The source is not looked at more often than this. Unit: ms. */
const lookAgainMs = 1_000;

export class TlsUpgrader {
  private readonly source: TlsSource;
  private readonly clock: Clock;
  private readonly logger: Logger;
  /** Never listens: sockets are handed to it. */
  private readonly server: Server;
  private readonly waiting = new Map<string, (socket: TLSSocket) => void>();
  private version: string;
  private lookedAtMs: number;

  /** Throws what reading or parsing threw: a gateway does not start with a broken certificate. */
  constructor(source: TlsSource, clock: Clock, logger: Logger) {
    this.source = source;
    this.clock = clock;
    this.logger = logger;
    this.version = source.version();
    this.lookedAtMs = clock.nowMs();
    this.server = createServer({
      ...contextOf(source.read()),
      requestCert: source.asksForCertificates,
      // Whether a certificate is needed is for the access rules to say; what it is worth is asked later.
      rejectUnauthorized: false,
      ALPNProtocols: [alpnProtocol],
    });
    this.server.on('secureConnection', (socket) => {
      const key = keyOf(socket);
      const onSecure = this.waiting.get(key);
      this.waiting.delete(key);
      if (onSecure === undefined) socket.destroy();
      else onSecure(socket);
    });
    // The socket closes behind it, which its owner sees.
    this.server.on('tlsClientError', (error) => {
      this.logger.info({ reason: error.message }, 'gateway_tls_handshake_failed');
    });
  }

  /**
   * Starts the handshake. What `raw` has read and not given out is its beginning. `onSecure` is not called if the
   * handshake fails: `raw` closes then.
   */
  upgrade(raw: Socket, onSecure: (socket: TLSSocket) => void): void {
    this.maybeReload();
    const key = keyOf(raw);
    this.waiting.set(key, onSecure);
    raw.once('close', () => {
      if (this.waiting.get(key) === onSecure) this.waiting.delete(key);
    });
    this.server.emit('connection', raw);
  }

  private maybeReload(): void {
    const now = this.clock.nowMs();
    if (now - this.lookedAtMs < lookAgainMs) return;
    this.lookedAtMs = now;
    try {
      const version = this.source.version();
      if (version === this.version) return;
      this.server.setSecureContext(contextOf(this.source.read()));
      this.version = version;
      this.logger.info({}, 'gateway_certificate_reloaded');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.logger.error({ reason }, 'gateway_certificate_not_reloaded');
    }
  }
}

/**
 * The name that a client has proved by its certificate: its one common name, if the chain holds and is valid now.
 * Undefined for everything else.
 */
export function provedName(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate();
  const name: unknown = certificate.subject?.CN;
  // Several common names come as an array: which of them would be meant?
  if (typeof name !== 'string' || name === '' || name.includes('\0')) return undefined;
  return name;
}

/** Among the open connections of a process, one. */
function keyOf({ remoteAddress, remotePort, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localPort}`;
}

function contextOf({ cert, key, clientCa }: TlsMaterial): SecureContextOptions {
  return { cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }), minVersion: 'TLSv1.2' };
}
