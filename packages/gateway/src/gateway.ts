/** Listens, admits, and shuts down. Everything about a single client is in `connection.ts`. */
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type Logger, silentLogger } from '@flotilla/base';
import { type Logins, type RemoteCancels, SqlError, type SqlSession } from '@flotilla/sql';
import type { AccessRule } from './access-rules.ts';
import { Admission } from './admission.ts';
import type { AuthenticationMethod } from './authentication.ts';
import { CancelRegistry, gatewayOf } from './cancel-registry.ts';
import { Connection } from './connection.ts';
import type { CreateSessionOptions, GatewayContext } from './gateway-context.ts';
import { GatewayCounters } from './gateway-counters.ts';
import { defaultLimits, type GatewayLimits } from './limits.ts';
import { writeErrorResponse } from './messages/error-response.ts';
import { OutputBuffer } from './messages/output-buffer.ts';
import { RoleConnections } from './role-connections.ts';
import { defaultServerVersion } from './server-parameters.ts';
import { type TlsSource, TlsUpgrader } from './tls.ts';

export interface GatewayOptions {
  readonly host: string;
  /** 0 picks a free one; see `Gateway.port`. */
  readonly port: number;
  /** A session for a client that has authenticated. May throw SqlError, e.g. 3D000. */
  readonly createSession: (options: CreateSessionOptions) => SqlSession;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly limits?: Partial<GatewayLimits>;
  /** In [0, 1023], unique among the cluster's gateways: part of the process ids that clients are given. Default 0. */
  readonly gatewayId?: number;
  /** Takes cancel requests to the gateways whose sessions they mean. Default: they are logged. */
  readonly remoteCancels?: RemoteCancels;
  /** Default: everybody is trusted. */
  readonly authentication?: AuthenticationMethod;
  /** Who may connect from where, the first that fits; see access-rules.ts. Default: everybody, by `authentication`. */
  readonly accessRules?: readonly AccessRule[];
  /** Roles and their passwords: what `scram-sha-256` rules check against. Default: none, and no role is asked for. */
  readonly logins?: Logins;
  /** Default: no TLS; a client that insists on it leaves. `startGateway` throws if it is not usable. */
  readonly tls?: TlsSource;
  /** Told to clients unless the session has a `server_version` of its own. Must begin with `15.`. */
  readonly serverVersion?: string;
  /** Hears of errors that must end the process. Default: thrown, uncaught. */
  readonly onFatal?: (error: unknown) => void;
}

export interface Gateway {
  readonly host: string;
  readonly port: number;
  /** Open sockets, whatever their phase. */
  readonly connectionCount: number;
  /** Of all connections since it began. */
  readonly counters: GatewayCounters;
  /**
   * Stops accepting; clients between statements get 57P01 at once, the others when their statement ends or after
   * `graceMs`, whichever is first. Resolves when every socket is closed. Idempotent.
   */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

/** Rejects if the address can not be bound. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const server = new GatewayServer(options);
  await server.listen(options.host, options.port);
  return server;
}

class GatewayServer implements Gateway {
  readonly counters: GatewayCounters;
  private readonly context: GatewayContext;
  private readonly server: Server;
  private readonly connections = new Set<Connection>();
  private stopping: Promise<void> | undefined;
  private onLastGone: (() => void) | undefined;
  host = '';
  port = 0;

  constructor(options: GatewayOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    this.counters = new GatewayCounters(options.clock);
    const { remoteCancels } = options;
    const cancels = new CancelRegistry(options.gatewayId ?? 0);
    remoteCancels?.onCancel(({ processId, secret }) => {
      cancels.cancel(processId, Buffer.from(secret));
    });
    this.context = {
      clock: options.clock,
      limits,
      logger: options.logger ?? silentLogger,
      authentication: options.authentication ?? { method: 'trust' },
      accessRules: options.accessRules,
      tls:
        options.tls && new TlsUpgrader(options.tls, options.clock, options.logger ?? silentLogger),
      logins: options.logins,
      counters: this.counters,
      roleConnections: new RoleConnections(),
      admission: new Admission(limits),
      cancels,
      forwardCancel: (key) => void remoteCancels?.forward(gatewayOf(key.processId), key),
      serverVersion: options.serverVersion ?? defaultServerVersion,
      createSession: options.createSession,
      onFatal: options.onFatal ?? throwUncaught,
    };
    this.server = createServer({ allowHalfOpen: true, highWaterMark: 64 * 1024 }, (socket) =>
      this.accept(socket),
    );
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port, backlog: 1024 }, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    this.server.on('error', (error) => {
      this.context.logger.error({ error: error.message }, 'gateway_accept_failed');
    });
    const address = this.server.address();
    this.host = host;
    this.port = typeof address === 'object' && address !== null ? address.port : port;
    this.context.logger.info({ host: this.host, port: this.port }, 'gateway_listening');
  }

  stop(options: { readonly graceMs: number }): Promise<void> {
    this.stopping ??= this.shutDown(options.graceMs);
    return this.stopping;
  }

  private async shutDown(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const gone = new Promise<void>((resolve) => {
      this.onLastGone = resolve;
      if (this.connections.size === 0) resolve();
    });
    for (const connection of this.connections) connection.drain();
    const grace = this.context.clock.setTimer(graceMs, () => {
      for (const connection of this.connections) connection.shutDown();
    });
    await Promise.all([closed, gone]);
    grace.cancel();
  }

  private accept(socket: Socket): void {
    this.counters.connections++;
    const address = socket.remoteAddress;
    if (address === undefined) {
      socket.on('error', () => {}); // gone before we looked
      socket.destroy();
      return;
    }
    if (!this.context.admission.arrive(address)) {
      this.context.logger.warn({ address }, 'gateway_too_many_unauthenticated');
      turnAway(socket);
      return;
    }
    const connection: Connection = new Connection(socket, this.context, () => {
      this.connections.delete(connection);
      if (this.connections.size === 0) this.onLastGone?.();
    });
    this.connections.add(connection);
    if (this.stopping !== undefined) connection.drain();
  }
}

/** Clients understand an error even where they expect the answer to an encryption request. */
function turnAway(socket: Socket): void {
  const output = new OutputBuffer();
  writeErrorResponse(output, new SqlError('53300', 'sorry, too many clients already'), 'FATAL');
  socket.on('error', () => {});
  socket.end(output.take(), () => socket.destroy());
}

function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
