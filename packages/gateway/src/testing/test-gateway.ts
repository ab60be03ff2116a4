/** A gateway over scripted sessions on a free port, with a clock that the test moves. */
import type { Logger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { createSqlEngine, type Peers, type SqlEngine, SqlError } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { parseAccessRules } from '../access-rules.ts';
import { type Gateway, type GatewayOptions, startGateway } from '../gateway.ts';
import { ScriptedSession, Stage } from './scripted-session.ts';

/** Timers by hand, turns of the event loop for real: sockets have them anyway. */
export class SocketTestClock extends ManualClock {
  override afterTurn(callback: () => void): void {
    setImmediate(callback);
  }
}

export interface LoggedEvent {
  readonly event: string;
  readonly facts: object;
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly clock: SocketTestClock;
  readonly stage: Stage;
  readonly fatals: unknown[];
  readonly logs: LoggedEvent[];
}

export async function startTestGateway(
  options: Partial<GatewayOptions> = {},
): Promise<TestGateway> {
  const clock = new SocketTestClock();
  const stage = new Stage();
  const fatals: unknown[] = [];
  const logs: LoggedEvent[] = [];
  const gateway = await startGateway({
    host: '127.0.0.1',
    port: 0,
    clock,
    logger: recordingLogger(logs),
    onFatal: (error) => fatals.push(error),
    createSession: ({ user, database, events }) => {
      if (database === 'missing') {
        throw new SqlError('3D000', 'database "missing" does not exist');
      }
      return new ScriptedSession(stage, user, events);
    },
    ...options,
  });
  return { gateway, clock, stage, fatals, logs };
}

function recordingLogger(logs: LoggedEvent[]): Logger {
  const record = (facts: object, event: string): void => {
    logs.push({ event, facts });
  };
  const logger: Logger = {
    debug: record,
    info: record,
    warn: record,
    error: record,
    child: () => logger,
  };
  return logger;
}

export interface SqlGateway extends TestGateway {
  readonly engine: SqlEngine;
  readonly database: MemoryKvDatabase;
}

export interface SqlGatewayOptions {
  /** Default: an empty one. */
  readonly database?: MemoryKvDatabase;
  readonly peers?: Peers;
  /** What the gateway takes of the engine beside its sessions, and else. */
  gateway?(engine: SqlEngine): Partial<GatewayOptions> | Promise<Partial<GatewayOptions>>;
}

/** The same over a SQL engine of its own, whose clock stands still; both log to `logs`. */
export async function startSqlGateway(options: SqlGatewayOptions = {}): Promise<SqlGateway> {
  const { database = new MemoryKvDatabase(), peers } = options;
  const logs: LoggedEvent[] = [];
  const logger = recordingLogger(logs);
  const engine = await createSqlEngine({
    ...{ database, logger, clock: new SocketTestClock() },
    ...(peers === undefined ? {} : { peers }),
  });
  const world = await startTestGateway({
    createSession: (session) => engine.createSession(session),
    logger,
    ...(await options.gateway?.(engine)),
  });
  return { ...world, logs, engine, database };
}

const passwordRules = `
host all operator 127.0.0.1/32 trust
host all all      127.0.0.1/32 scram-sha-256`;

/** A gateway that asks everybody for a password but `operator`, a superuser. @param texts make the other roles */
export async function startGuardedGateway(...texts: readonly string[]): Promise<SqlGateway> {
  const rules = parseAccessRules(passwordRules);
  if (!rules.ok) throw new Error(rules.problems.join());
  const world = await startSqlGateway({
    gateway: ({ logins }) => ({ accessRules: rules.rules, logins }),
  });
  await asOperator(world.engine, 'create role operator superuser login', ...texts);
  return world;
}

/** Runs statements as a user whom nothing is forbidden, past the gateway. */
export async function asOperator(engine: SqlEngine, ...texts: readonly string[]): Promise<void> {
  const session = engine.createSession({ user: 'postgres', database: 'flotilla' });
  for (const text of texts)
    for (const statement of session.parse(text))
      await session.execute(await session.prepare(statement, []), []);
}

/** Nobody who is still connected is waited for. */
export async function stopTestGateway({ gateway, clock }: TestGateway): Promise<void> {
  const stopped = gateway.stop({ graceMs: 0 });
  clock.advance(10_000);
  await stopped;
}

/** Waits for a condition that sockets will make true; a turn of the event loop between looks. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
