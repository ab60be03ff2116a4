/** What all connections of one gateway share. */
import type { Clock, Logger } from '@flotilla/base';
import type {
  CancelKeyBytes,
  Logins,
  SessionClient,
  SqlSession,
  SqlSessionEvents,
} from '@flotilla/sql';
import type { AccessRule } from './access-rules.ts';
import type { Admission } from './admission.ts';
import type { AuthenticationMethod } from './authentication.ts';
import type { CancelRegistry } from './cancel-registry.ts';
import type { GatewayCounters } from './gateway-counters.ts';
import type { GatewayLimits } from './limits.ts';
import type { RoleConnections } from './role-connections.ts';
import type { TlsUpgrader } from './tls.ts';

/** Who connected, as `SqlEngine.createSession` wants to know it. */
export interface CreateSessionOptions {
  readonly user: string;
  readonly database: string;
  readonly applicationName?: string;
  /** Who is at the other end of the connection. */
  readonly client?: SessionClient;
  readonly events?: Partial<SqlSessionEvents>;
  /** The user has shown who he is, or has to be a role: his privileges are those of the role. */
  readonly authenticated?: boolean;
  /** Settings that it begins with. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface GatewayContext {
  readonly clock: Clock;
  readonly limits: GatewayLimits;
  readonly logger: Logger;
  readonly authentication: AuthenticationMethod;
  /** Undefined: everybody authenticates by `authentication`. */
  readonly accessRules: readonly AccessRule[] | undefined;
  /** Undefined: no TLS. */
  readonly tls: TlsUpgrader | undefined;
  /** Undefined: whoever has authenticated may begin a session. */
  readonly logins: Logins | undefined;
  readonly counters: GatewayCounters;
  readonly roleConnections: RoleConnections;
  readonly admission: Admission;
  readonly cancels: CancelRegistry;
  /** The session is another gateway's. */
  forwardCancel(key: CancelKeyBytes): void;
  readonly serverVersion: string;
  /** May throw SqlError, e.g. 3D000. */
  createSession(options: CreateSessionOptions): SqlSession;
  /** An InvariantViolation or FatalError was thrown: the process must end. */
  onFatal(error: unknown): void;
}
