/** Functions about other sessions: what is said to them, and how they are stopped. */
import { SqlError } from '../sql-error.ts';
import { boolType, int4Type, textType, timestamptzType, voidType } from '../types/type.ts';
import type { Datum } from '../types/values.ts';
import { catalogOf } from './sequences.ts';
import { type EvalContext, type Signature, signature } from './signature.ts';

const changing = { volatility: 'volatile' } as const;

/** Throws 42501. @returns whether the session is there */
async function maySignal(
  processId: number,
  kind: 'cancel' | 'terminate',
  context: EvalContext,
): Promise<boolean> {
  const catalog = catalogOf(context);
  const { backend, authority } = catalog;
  const target = (await backend.sessions()).find((one) => one.client.processId === processId);
  if (target === undefined) {
    const message = `PID ${processId} is not a PostgreSQL server process`;
    backend.notice({ severity: 'WARNING', code: '01000', message });
    return false;
  }
  const what = kind === 'cancel' ? 'cancel superuser query' : 'terminate superuser process';
  if (!authority.superuser && catalog.authorityOf(target.user).superuser)
    throw new SqlError('42501', `must be a superuser to ${what}`);
  const whose = kind === 'cancel' ? 'query is being canceled' : 'process is being terminated';
  if (!authority.has(target.user))
    throw new SqlError(
      '42501',
      `must be a member of the role whose ${whose} or member of pg_signal_backend`,
    );
  return true;
}

function signals(name: string, kind: 'cancel' | 'terminate'): Signature {
  const call = (processId: Datum, _b: Datum, _c: Datum, context: EvalContext): Datum => {
    const { backend } = catalogOf(context);
    return backend.work.result(`${name} ${processId}`, async () => {
      const id = processId as number;
      return (await maySignal(id, kind, context)) && (await backend.signal(id, kind));
    });
  };
  return signature(name, [int4Type], boolType, call, changing);
}

export const sessionFunctions: readonly Signature[] = [
  signature(
    'follower_read_timestamp',
    [],
    timestamptzType,
    (_a, _b, _c, context) => catalogOf(context).backend.followerReadTime(),
    { volatility: 'stable' },
  ),
  signature(
    'session_token',
    [],
    textType,
    (_a, _b, _c, context) => catalogOf(context).backend.sessionToken(),
    changing,
  ),
  signals('pg_cancel_backend', 'cancel'),
  signals('pg_terminate_backend', 'terminate'),
  signature(
    'pg_notify',
    [textType, textType],
    voidType,
    (channel, payload, _c, context) => {
      const { notifications } = catalogOf(context).backend;
      notifications.notify(String(channel ?? ''), String(payload ?? ''));
      return '';
    },
    { ...changing, strict: false },
  ),
];
