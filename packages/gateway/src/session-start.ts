/** From "authenticated" to the first ReadyForQuery: makes the session, applies its settings, greets the client. */
import { type Logger, silentLogger } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import { plainAddress } from './access-rules.ts';
import type { CancelKey } from './cancel-registry.ts';
import type { GatewayContext } from './gateway-context.ts';
import { writeBackendKeyData, writeReadyForQuery } from './messages/backend-messages.ts';
import { applySettings, startupSettings, tellServerParameters } from './server-parameters.ts';
import type { ClientLink } from './session/client-link.ts';
import { ProtocolSession } from './session/protocol-session.ts';
import type { StartupMessage } from './startup.ts';

/**
 * Checks what a startup packet asks for, before anybody is authenticated. Throws SqlError with the SQLSTATE that
 * PostgreSQL uses for it.
 */
export function checkStartup(startup: StartupMessage): { user: string; database: string } {
  const user = startup.parameters.get('user') ?? '';
  if (user === '') {
    throw new SqlError('28000', 'no PostgreSQL user name specified in startup packet');
  }
  const replication = startup.parameters.get('replication') ?? 'off';
  if (!/^(?:off|false|no|0)$/i.test(replication)) {
    throw new SqlError('0A000', 'replication connections are not supported');
  }
  const database = startup.parameters.get('database') ?? '';
  return { user, database: database === '' ? user : database };
}

/** What a statement ends with that a cancel request, or pg_cancel_backend, was for. */
export function cancelError(): SqlError {
  return new SqlError('57014', 'canceling statement due to user request');
}

export interface SessionStart {
  readonly context: GatewayContext;
  readonly startup: StartupMessage;
  readonly link: ClientLink;
  readonly key: CancelKey;
  readonly mustExist: boolean;
  /** The session counts from now on. Throws SqlError 53300. */
  enterRole(user: string, limit: number): void;
  /** Of the client, as its socket says. */
  readonly address: string;
  readonly port: number;
  readonly logger?: Logger;
}

/** Rejects with the SqlError of a refused database or setting; the greeting has not begun then. */
export async function startSession(options: SessionStart): Promise<ProtocolSession> {
  const { context, startup, link, key } = options;
  const { output } = link;
  const { user, database } = checkStartup(startup);
  const { mustExist } = options;
  const login = await context.logins?.admit(user, database, { mustExist });
  options.enterRole(user, login?.connectionLimit ?? -1);
  const settings = startupSettings(startup.parameters);
  const applicationName = startup.parameters.get('application_name') ?? '';
  let greeted = false;
  const session = context.createSession({
    user,
    database,
    applicationName,
    authenticated: mustExist,
    ...(login === undefined ? {} : { settings: login.settings, databaseOid: login.database }),
    client: {
      processId: key.processId,
      address: plainAddress(options.address),
      port: options.port,
    },
    events: {
      onNotice: (notice) => protocol.notice(notice),
      onNotification: (notification) => protocol.notification(notification),
      onRetry: () => {
        context.counters.retries++;
      },
      onCancel: () => protocol.abort(cancelError()),
      onTerminate: (reason) => link.fatal(reason),
      onParameterStatus: (name, value) => {
        if (greeted) protocol.parameterChanged(name, value);
      },
    },
  });
  const protocol = new ProtocolSession({
    session,
    link,
    limits: context.limits,
    counters: context.counters,
    logger: options.logger ?? silentLogger,
  });
  await applySettings(session, settings);
  const { serverVersion } = context;
  const tell = (name: string, value: string) => protocol.tellParameter(name, value);
  tellServerParameters(tell, session, { user, applicationName, serverVersion });
  greeted = true;
  writeBackendKeyData(output, key.processId, key.secret);
  writeReadyForQuery(output, session.transactionStatus);
  link.flush();
  return protocol;
}
