/** Functions about the session and the moment. */
import { randomUUID } from 'node:crypto';
import { SqlError } from '../sql-error.ts';
import {
  anyType,
  boolType,
  float8Type,
  int4Type,
  nameType,
  regtypeType,
  textType,
  timestamptzType,
  uuidType,
  voidType,
} from '../types/type.ts';
import { catalogOf } from './sequences.ts';
import { type Signature, signature, typedSignature } from './signature.ts';

/** What clients are told in `server_version`: the PostgreSQL whose behaviour is the model. */
export const serverVersion: string = '15.0';
export const serverVersionNumber: string = '150000';
export const flotillaVersion: string = '0.1.0';

const stable = { volatility: 'stable' } as const;

const changing = { volatility: 'volatile' } as const;

/** Functions about the process that serves the session. */
const backendFunctions: readonly Signature[] = [
  signature(
    'pg_backend_pid',
    [],
    int4Type,
    (_a, _b, _c, context) => catalogOf(context).backend.processId,
    stable,
  ),
  signature(
    'pg_postmaster_start_time',
    [],
    timestamptzType,
    (_a, _b, _c, context) => catalogOf(context).backend.startedAt,
    stable,
  ),
  signature(
    'set_config',
    [textType, textType, boolType],
    textType,
    (name, value, local, context) => {
      if (name === null) throw new SqlError('22004', 'SET requires parameter name');
      const { backend } = catalogOf(context);
      return backend.setSetting(name as string, value as string | null, local === true);
    },
    { ...changing, strict: false },
  ),
  signature(
    'pg_sleep',
    [float8Type],
    voidType,
    (seconds, _b, _c, context) => {
      const { backend } = catalogOf(context);
      const ms = (seconds as number) * 1000;
      return backend.work.result(`pg_sleep ${ms}`, async (signal) => {
        if (ms > 0) await backend.sleep(ms, signal);
        return '';
      });
    },
    changing,
  ),
];

export const systemFunctions: readonly Signature[] = [
  ...backendFunctions,
  signature('gen_random_uuid', [], uuidType, () => randomUUID(), { volatility: 'volatile' }),
  signature(
    'current_setting',
    [textType, boolType],
    textType,
    (a, b, _c, context) => {
      const value = context.setting(a as string);
      if (value === undefined && b !== true)
        throw new SqlError('42704', `unrecognized configuration parameter "${a}"`);
      return value ?? null;
    },
    stable,
  ),
  typedSignature(
    'pg_typeof',
    [anyType],
    regtypeType,
    ({ parameters }) =>
      () =>
        parameters[0]?.oid ?? 0,
    {
      ...stable,
      strict: false,
    },
  ),
  ...['now', 'transaction_timestamp'].map((name) =>
    signature(name, [], timestamptzType, (_a, _b, _c, context) => context.now, stable),
  ),
  signature(
    'statement_timestamp',
    [],
    timestamptzType,
    (_a, _b, _c, context) => context.statementStart,
    stable,
  ),
  signature('clock_timestamp', [], timestamptzType, (_a, _b, _c, context) => context.clockTime(), {
    volatility: 'volatile',
  }),
  signature(
    'version',
    [],
    textType,
    () => `PostgreSQL ${serverVersion} (Flotilla ${flotillaVersion})`,
    stable,
  ),
  ...['current_database', 'current_catalog'].map((name) =>
    signature(name, [], nameType, (_a, _b, _c, context) => context.database, stable),
  ),
  signature(
    'current_schema',
    [],
    nameType,
    (_a, _b, _c, context) => catalogOf(context).names.schemas[0] ?? null,
    stable,
  ),
  ...['current_user', 'current_role', 'user'].map((name) =>
    signature(name, [], nameType, (_a, _b, _c, context) => context.user, stable),
  ),
  signature(
    'session_user',
    [],
    nameType,
    (_a, _b, _c, context) => context.setting('session_authorization') ?? context.user,
    stable,
  ),
  signature(
    'current_setting',
    [textType],
    textType,
    (a, _b, _c, context) => {
      const value = context.setting(a as string);
      if (value === undefined)
        throw new SqlError('42704', `unrecognized configuration parameter "${a}"`);
      return value;
    },
    stable,
  ),
];
