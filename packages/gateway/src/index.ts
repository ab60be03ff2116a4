/**
 * The gateway: PostgreSQL's wire protocol (3.0) on one side, `SqlSession`s on the other. psql, pgbench, drivers and
 * ORMs connect to it as they would to a PostgreSQL 15 server.
 *
 * A connection is born in `gateway.ts` (accept, admission), lives in `connection.ts` (its phases: initial packets,
 * authentication, session start, serving) and talks through `peer.ts` (one socket: buffers, backpressure, stalls).
 * Initial packets are decoded by `startup.ts`, `tls.ts` puts TLS under a socket, `access-rules.ts` says who may connect
 * from where and how. Authentication is pg-gateway's work, fenced in by `authentication.ts`:
 * it gets whole messages through an in-memory duplex and is detached for good when it has spoken.
 *
 * Serving is a synchronous loop over the bytes at hand: one frame, one call of `session/protocol-session.ts`, which
 * answers into the connection's single output buffer; a call that has to wait (a statement, a slow reader) gives a
 * promise, and the loop goes on when it is done. `session/simple-query.ts` and `session/extended-query.ts` are the two
 * query protocols, `session/row-cursor.ts` streams results, `messages/` reads and writes the messages themselves.
 *
 * What one client can make the gateway hold is bounded everywhere by `limits.ts`; what it can make it do is bounded by
 * the session. Bad input from a client is answered or dropped, never asserted on. InvariantViolation and FatalError
 * are not answered: they end the process.
 *
 * Not built: the function-call message, protocol 3.2.
 */
export { type AccessRule, type ParsedRules, parseAccessRules } from './access-rules.ts';
export type { AuthenticationMethod, ScramSha256Data } from './authentication.ts';
export { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
export type { CreateSessionOptions } from './gateway-context.ts';
export type { GatewayCounters } from './gateway-counters.ts';
export { defaultLimits, type GatewayLimits } from './limits.ts';
export type { TlsMaterial, TlsSource } from './tls.ts';
