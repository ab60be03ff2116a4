/** Whether a client may connect at all, and how it has to show who it is: the access rules applied to one start-up. */
import type { TLSSocket } from 'node:tls';
import { SqlError } from '@flotilla/sql';
import { type AccessRule, isLoopback, matchRule, plainAddress } from './access-rules.ts';
import type { AuthenticationMethod } from './authentication.ts';
import type { GatewayContext } from './gateway-context.ts';
import { provedName } from './tls.ts';

export interface AccessRequest {
  readonly context: Pick<GatewayContext, 'accessRules' | 'authentication' | 'logins'>;
  readonly user: string;
  readonly database: string;
  /** Of the client, as the socket says. */
  readonly address: string;
  /** Undefined: not encrypted. */
  readonly secure: TLSSocket | undefined;
}

export interface Access {
  readonly method: AuthenticationMethod;
  /** A name that no role has is refused. Not so where everybody is let in unasked. */
  readonly mustExist: boolean;
}

/** Throws SqlError 28000 with PostgreSQL's words if the answer is no. */
export function decideAccess(request: AccessRequest): Access {
  const { accessRules, authentication } = request.context;
  if (accessRules === undefined)
    return { method: authentication, mustExist: authentication.method !== 'trust' };
  return { method: methodByRule(request, accessRules), mustExist: true };
}

function methodByRule(
  request: AccessRequest,
  accessRules: readonly AccessRule[],
): AuthenticationMethod {
  const { authentication, logins } = request.context;
  const { user, database, secure } = request;
  const rule = matchRule(accessRules, {
    encrypted: secure !== undefined,
    database,
    user,
    address: request.address,
  });
  const who = `host "${plainAddress(request.address)}", user "${user}", database "${database}"`;
  const encryption = secure === undefined ? 'no encryption' : 'SSL encryption';
  switch (rule?.method) {
    case undefined:
      throw new SqlError('28000', `no pg_hba.conf entry for ${who}, ${encryption}`);
    case 'reject':
      throw new SqlError('28000', `pg_hba.conf rejects connection for ${who}, ${encryption}`);
    case 'trust':
      return { method: 'trust' };
    case 'scram-sha-256':
      if (secure === undefined && !isLoopback(request.address))
        throw new SqlError(
          '28000',
          `password authentication needs an encrypted connection: ${who}, ${encryption}`,
        );
      if (logins !== undefined)
        return { method: 'scram-sha-256', lookup: (name) => logins.verifier(name) };
      if (authentication.method !== 'scram-sha-256')
        throw new SqlError('28000', `there are no passwords here to check user "${user}" against`);
      return authentication;
    case 'cert': {
      const proved = secure === undefined ? undefined : provedName(secure);
      if (proved === undefined)
        throw new SqlError('28000', 'connection requires a valid client certificate');
      if (proved !== user)
        throw new SqlError('28000', `certificate authentication failed for user "${user}"`);
      return { method: 'trust' };
    }
  }
}
