/** Functions about the session and the moment. */
import { randomUUID } from 'node:crypto';
import { SqlError } from '../sql-error.ts';
import {
  anyType,
  boolType,
  nameType,
  regtypeType,
  textType,
  timestamptzType,
  uuidType,
} from '../types/type.ts';
import { catalogOf } from './sequences.ts';
import { type Signature, signature, typedSignature } from './signature.ts';

/** What clients are told in `server_version`: the PostgreSQL whose behaviour is the model. */
export const serverVersion: string = '15.0';
export const serverVersionNumber: string = '150000';
export const flotillaVersion: string = '0.1.0';

const stable = { volatility: 'stable' } as const;

export const systemFunctions: readonly Signature[] = [
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
