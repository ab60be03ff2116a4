/** The settings that there are: how each begins, what it takes, and as what a value is kept. */
import { serverVersion, serverVersionNumber } from './functions/system.ts';
import { harmlessSettings } from './harmless-settings.ts';
import { SqlError } from './sql-error.ts';
import { checkReadAsOf, checkSessionToken } from './transaction/read-as-of.ts';
import { zoneBySetting } from './types/time-zone.ts';

export interface SettingDefinition {
  /** As PostgreSQL spells it. */
  readonly name: string;
  readonly initial: string;
  /** Sent to clients when it changes. */
  readonly reported?: true;
  readonly readOnly?: true;
  /** The value as it is kept. Throws 22023, 0A000. */
  readonly check?: (value: string, name: string, current: string) => string;
}

function invalid(name: string, value: string): SqlError {
  return new SqlError('22023', `invalid value for parameter "${name}": "${value}"`);
}

export function booleanValue(value: string, name: string): string {
  const word = value.toLowerCase();
  if (['on', 'true', 'yes', '1', 't', 'y'].includes(word)) return 'on';
  if (['off', 'false', 'no', '0', 'f', 'n'].includes(word)) return 'off';
  throw new SqlError('22023', `parameter "${name}" requires a Boolean value`);
}

function integerValue(min: number, max: number): (value: string, name: string) => string {
  return (value, name) => {
    if (!/^[+-]?\d+$/.test(value.trim())) throw invalid(name, value);
    const number = Number(value);
    if (number < min || number > max)
      throw new SqlError(
        '22023',
        `${number} is outside the valid range for parameter "${name}" (${min} .. ${max})`,
      );
    return String(number);
  };
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, kept in the largest unit that divides them, as PostgreSQL shows them. */
function durationValue(value: string, name: string): string {
  const match = /^\s*([+-]?\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/.exec(value);
  if (match === null) throw invalid(name, value);
  const ms = Math.round(Number(match[1]) * (units[match[2] ?? ''] ?? 1));
  if (ms < 0 || ms > 2_147_483_647)
    throw new SqlError(
      '22023',
      `${ms} ms is outside the valid range for parameter "${name}" (0 .. 2147483647)`,
    );
  if (ms === 0) return '0';
  for (const unit of ['d', 'h', 'min', 's'])
    if (ms % (units[unit] ?? 1) === 0) return `${ms / (units[unit] ?? 1)}${unit}`;
  return `${ms}ms`;
}

/** The value of a duration setting. Unit: ms. */
export function durationMs(value: string): number {
  const match = /^(\d+)(ms|s|min|h|d)?$/.exec(value);
  return match === null ? 0 : Number(match[1]) * (units[match[2] ?? ''] ?? 1);
}

function oneOf(...allowed: readonly string[]): (value: string, name: string) => string {
  return (value, name) => {
    const word = value.toLowerCase();
    if (!allowed.includes(word)) throw invalid(name, value);
    return word;
  };
}

/** Only UTF-8 is spoken; its spellings are many. */
function encodingValue(value: string, name: string): string {
  const word = value.toLowerCase().replace(/['"_-]/g, '');
  if (word === 'utf8' || word === 'unicode') return 'UTF8';
  if (/^(latin|iso8859|win|koi8|sqlascii|euc|sjis|big5|gbk|gb18030|johab|uhc|mule)/.test(word))
    throw new SqlError('0A000', `client encoding ${value} is not supported yet`);
  throw invalid(name, value);
}

/** Dates are printed in ISO form; the order of ambiguous input is kept for SHOW. */
function dateStyleValue(value: string, name: string, current: string): string {
  let order = current.slice(-3);
  for (const part of value.split(',').map((word) => word.trim().toLowerCase())) {
    if (part === 'iso' || part === '') continue;
    if (part === 'default') order = 'MDY';
    else if (['mdy', 'dmy', 'ymd'].includes(part)) order = part.toUpperCase();
    else if (part === 'us' || part.startsWith('noneuro')) order = 'MDY';
    else if (part.startsWith('euro')) order = 'DMY';
    else if (['sql', 'postgres', 'german'].includes(part))
      throw new SqlError('0A000', `DateStyle ${part} is not supported yet`);
    else throw invalid(name, value);
  }
  return `ISO, ${order}`;
}

const isolationValue = oneOf(
  'serializable',
  'repeatable read',
  'read committed',
  'read uncommitted',
);

function mustBe(expected: string, what: string): (value: string, name: string) => string {
  return (value, name) => {
    if (booleanValue(value, name) !== expected)
      throw new SqlError('0A000', `${what} is not supported yet`);
    return expected;
  };
}

const definitions: readonly SettingDefinition[] = [
  { name: 'application_name', initial: '', reported: true },
  { name: 'client_encoding', initial: 'UTF8', reported: true, check: encodingValue },
  { name: 'DateStyle', initial: 'ISO, MDY', reported: true, check: dateStyleValue },
  {
    name: 'default_transaction_read_only',
    initial: 'off',
    reported: true,
    check: booleanValue,
  },
  { name: 'in_hot_standby', initial: 'off', reported: true, readOnly: true },
  { name: 'integer_datetimes', initial: 'on', reported: true, readOnly: true },
  {
    name: 'IntervalStyle',
    initial: 'postgres',
    reported: true,
    check: oneOf('postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'),
  },
  // Follows the role; kept by session.ts.
  { name: 'is_superuser', initial: 'on', reported: true, readOnly: true },
  { name: 'server_encoding', initial: 'UTF8', reported: true, readOnly: true },
  { name: 'server_version', initial: serverVersion, reported: true, readOnly: true },
  {
    name: 'standard_conforming_strings',
    initial: 'on',
    reported: true,
    check: mustBe('on', 'standard_conforming_strings = off'),
  },
  { name: 'TimeZone', initial: 'UTC', reported: true, check: (value) => zoneBySetting(value).name },
  { name: 'server_version_num', initial: serverVersionNumber, readOnly: true },
  { name: 'backslash_quote', initial: 'safe_encoding' },
  { name: 'bytea_output', initial: 'hex', check: oneOf('hex', 'escape') },
  { name: 'check_function_bodies', initial: 'on', check: booleanValue },
  {
    name: 'client_min_messages',
    initial: 'notice',
    check: oneOf(
      'debug5',
      'debug4',
      'debug3',
      'debug2',
      'debug1',
      'debug',
      'log',
      'notice',
      'warning',
      'error',
    ),
  },
  { name: 'default_table_access_method', initial: 'heap', check: oneOf('heap') },
  { name: 'default_tablespace', initial: '' },
  { name: 'default_transaction_deferrable', initial: 'off', check: booleanValue },
  { name: 'default_transaction_isolation', initial: 'serializable', check: isolationValue },
  { name: 'extra_float_digits', initial: '1', check: integerValue(-15, 3) },
  { name: 'flotilla.read_as_of', initial: '', check: checkReadAsOf },
  { name: 'flotilla.session_token', initial: '', check: checkSessionToken },
  { name: 'idle_in_transaction_session_timeout', initial: '0', check: durationValue },
  { name: 'idle_session_timeout', initial: '0', check: durationValue },
  { name: 'lc_collate', initial: 'C', readOnly: true },
  { name: 'lc_ctype', initial: 'C.UTF-8', readOnly: true },
  { name: 'lc_messages', initial: 'C' },
  { name: 'lc_monetary', initial: 'C' },
  { name: 'lc_numeric', initial: 'C' },
  { name: 'lc_time', initial: 'C' },
  { name: 'lock_timeout', initial: '0', check: durationValue },
  { name: 'max_identifier_length', initial: '63', readOnly: true },
  { name: 'max_index_keys', initial: '32', readOnly: true },
  { name: 'password_encryption', initial: 'scram-sha-256', check: oneOf('scram-sha-256') },
  // Who may be set is checked where the statement runs: execute/set-role.ts.
  { name: 'role', initial: 'none' },
  { name: 'row_security', initial: 'on', check: booleanValue },
  { name: 'search_path', initial: '"$user", public' },
  { name: 'session_authorization', initial: '', reported: true },
  { name: 'ssl_renegotiation_limit', initial: '0', check: integerValue(0, 0) },
  { name: 'statement_timeout', initial: '0', check: durationValue },
  {
    name: 'synchronous_commit',
    initial: 'on',
    check: oneOf('on', 'off', 'local', 'remote_write', 'remote_apply'),
  },
  // Those of the open transaction; kept by session-transaction.ts, not here.
  { name: 'transaction_deferrable', initial: 'off', check: booleanValue },
  { name: 'transaction_isolation', initial: 'serializable', check: isolationValue },
  { name: 'transaction_read_only', initial: 'off', check: booleanValue },
  { name: 'work_mem', initial: '4MB' },
  { name: 'xmloption', initial: 'content', check: oneOf('content', 'document') },
];

/** A number, with a unit where it has one. */
export function numberValue(value: string, name: string): string {
  if (/^\s*[+-]?\d+(\.\d+)?(e[+-]?\d+)?\s*(B|kB|MB|GB|TB|us|ms|s|min|h|d)?\s*$/i.test(value))
    return value.trim();
  throw invalid(name, value);
}

const checks = { bool: booleanValue, number: numberValue, text: (value: string) => value };

const harmless = harmlessSettings.map(
  ({ name, initial, kind, readOnly }): SettingDefinition => ({
    ...{ name, initial, check: checks[kind] },
    ...(readOnly ? { readOnly } : {}),
  }),
);

/** By name in small letters. */
export const byName: ReadonlyMap<string, SettingDefinition> = new Map(
  [...harmless, ...definitions].map((one) => [one.name.toLowerCase(), one]),
);
