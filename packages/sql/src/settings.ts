/**
 * Settings of a session: the ones that drivers and tools set and show. A setting that changes how statements run is
 * honoured or its unsupported values are refused; the rest are kept and shown, as PostgreSQL keeps them for parts that
 * do not exist here.
 */
import { serverVersion, serverVersionNumber } from './functions/system.ts';
import { harmlessSettings } from './harmless-settings.ts';
import { SqlError } from './sql-error.ts';
import { checkReadAsOf, checkSessionToken } from './transaction/read-as-of.ts';
import { type TimeZone, utcZone, zoneBySetting } from './types/time-zone.ts';

interface SettingDefinition {
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

function booleanValue(value: string, name: string): string {
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
function durationMs(value: string): number {
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
function numberValue(value: string, name: string): string {
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

const byName = new Map([...harmless, ...definitions].map((one) => [one.name.toLowerCase(), one]));

/** All settings that there are, as PostgreSQL spells them. */
export function settingNames(): string[] {
  return [...byName.values()].map((definition) => definition.name).sort();
}

/** What pg_settings says of one, beside its value. */
export function settingFacts(name: string): {
  readonly vartype: 'bool' | 'real' | 'string';
  readonly context: 'internal' | 'user';
  readonly initial: string;
} {
  const definition = byName.get(name.toLowerCase());
  const { check, initial = '' } = definition ?? {};
  const vartype = check === booleanValue ? 'bool' : check === numberValue ? 'real' : 'string';
  return { vartype, context: definition?.readOnly === true ? 'internal' : 'user', initial };
}

/** The name as SHOW heads its column with it. */
export function canonicalSettingName(name: string): string {
  return byName.get(name.toLowerCase())?.name ?? name;
}

/** Settings that a session must not begin with: who it is, is said otherwise. */
const identities: ReadonlySet<string> = new Set(['role', 'session_authorization']);

/** The value that a stored setting is kept as. Throws 42704, 55P02, 22023, 0A000. */
export function checkSettingValue(name: string, value: string): string {
  if (identities.has(name.toLowerCase()) || name.toLowerCase().startsWith('transaction_'))
    throw new SqlError('55P02', `parameter "${name}" cannot be set for sessions to come`);
  return new Settings({ user: '', applicationName: '' }).check(name, value);
}

const lengthMax = 16 * 1024;
const customMax = 100;

export interface SettingChange {
  readonly name: string;
  readonly value: string;
}

/** The values of one moment, for a transaction that is rolled back. */
export interface SettingsSnapshot {
  readonly values: ReadonlyMap<string, string>;
  readonly locals: ReadonlyMap<string, string>;
  readonly custom: ReadonlySet<string>;
}

/** What a transaction begins as. */
export interface DefaultModes {
  readonly isolation: string;
  readonly readOnly: boolean;
  readonly deferrable: boolean;
}

export interface SettingsOptions {
  /** Who was let in. */
  readonly user: string;
  readonly applicationName: string;
  readonly isSuperuser?: (user: string) => boolean;
}

function dateOrderOf(style: string): 'MDY' | 'DMY' | 'YMD' {
  const order = style.slice(-3);
  return order === 'DMY' || order === 'YMD' ? order : 'MDY';
}

export class Settings {
  /** As TimeZone says. */
  zone: TimeZone = utcZone;
  /** As extra_float_digits says. */
  extraFloatDigits = 1;
  byteaOutput: 'hex' | 'escape' = 'hex';
  dateOrder: 'MDY' | 'DMY' | 'YMD' = 'MDY';
  /** As statement_timeout says; 0 = none. */
  statementTimeoutMs = 0;
  /** As lock_timeout says; 0 = none. */
  lockTimeoutMs = 0;
  /** As idle_session_timeout and idle_in_transaction_session_timeout say; 0 = none. */
  idleSessionTimeoutMs = 0;
  idleInTransactionTimeoutMs = 0;
  /** As flotilla.read_as_of says; '' = now. */
  readAsOf = '';
  /** As the default_transaction_… say. */
  defaultModes: DefaultModes = { isolation: 'serializable', readOnly: false, deferrable: false };
  private values = new Map<string, string>();
  /** Set by SET LOCAL, above `values` until the transaction ends. */
  private locals = new Map<string, string>();
  /** Names with a dot that have been set. */
  private custom = new Set<string>();
  /** By name, those that were set here: an offset's name is not what it was set by. */
  private readonly zones = new Map<string, TimeZone>();
  /** As `role` and `session_authorization` say: whose privileges count, and whose session it is. */
  user: string;
  sessionUser: string;
  private readonly options: SettingsOptions;
  /** What RESET goes back to, where that is not what everybody begins with. */
  private readonly defaults = new Map<string, string>();

  constructor(options: SettingsOptions) {
    this.options = options;
    this.user = options.user;
    this.sessionUser = options.user;
    this.defaults.set('session_authorization', options.user);
    this.defaults.set('application_name', options.applicationName);
  }

  /** Who was let in. */
  get authenticatedUser(): string {
    return this.options.user;
  }

  /** A value that the session begins with, and that RESET goes back to. Throws as `set`. */
  begin(name: string, value: string): void {
    const key = name.toLowerCase();
    const before = this.get(name);
    const checked = this.check(name, value);
    if (key === 'timezone') this.zones.set(checked, zoneBySetting(value));
    this.defaults.set(key, checked);
    this.changed(key, before);
  }

  /** As SHOW prints it. */
  get(name: string): string | undefined {
    const key = name.toLowerCase();
    return this.locals.get(key) ?? this.values.get(key) ?? this.initialOf(key);
  }

  /** The value as `name` would be set to it. Throws 42704, 55P02, 22023, 0A000. */
  check(name: string, value: string): string {
    if (value.length > lengthMax)
      throw new SqlError('22023', `value of parameter "${name}" is too long`);
    const definition = byName.get(name.toLowerCase());
    if (definition === undefined) {
      this.checkCustom(name);
      return value;
    }
    this.checkChangeable(definition);
    return definition.check?.(value, definition.name, this.get(name) ?? '') ?? value;
  }

  /**
   * @param value undefined = the initial one
   * @param local until the end of the transaction
   * @returns the changes that clients must be told of: none or one
   * Throws 42704, 55P02, 22023, 0A000.
   */
  set(name: string, value: string | undefined, local = false): SettingChange[] {
    const key = name.toLowerCase();
    const before = this.get(name);
    const checked = value === undefined ? this.checkReset(name) : this.check(name, value);
    if (key === 'timezone' && value !== undefined && checked !== undefined)
      this.zones.set(checked, zoneBySetting(value));
    if (local) this.locals.set(key, checked ?? this.initialOf(key) ?? '');
    else {
      this.locals.delete(key);
      if (checked === undefined) this.values.delete(key);
      else this.values.set(key, checked);
    }
    if (!byName.has(key)) this.custom.add(key);
    return this.changed(key, before);
  }

  /** All back to their initial values; the changes that clients must be told of. */
  resetAll(): SettingChange[] {
    return this.replace(() => {
      this.values.clear();
      this.locals.clear();
      this.custom.clear();
    });
  }

  snapshot(): SettingsSnapshot {
    return {
      values: new Map(this.values),
      locals: new Map(this.locals),
      custom: new Set(this.custom),
    };
  }

  /** @returns the changes that clients must be told of */
  restore(snapshot: SettingsSnapshot): SettingChange[] {
    return this.replace(() => {
      this.values = new Map(snapshot.values);
      this.locals = new Map(snapshot.locals);
      this.custom = new Set(snapshot.custom);
    });
  }

  /** The transaction has ended: what was set for it alone is over. */
  endLocal(): SettingChange[] {
    if (this.locals.size === 0) return [];
    return this.replace(() => this.locals.clear());
  }

  /** What clients are told of at the start of a session. */
  reported(): SettingChange[] {
    return [...byName.values()]
      .filter((definition) => definition.reported === true)
      .map(({ name }) => ({ name, value: this.get(name) ?? '' }));
  }

  private replace(change: () => void): SettingChange[] {
    const keys = new Set([...this.values.keys(), ...this.locals.keys()]);
    const before = new Map([...keys].map((key) => [key, this.get(key)]));
    change();
    for (const key of [...this.values.keys(), ...this.locals.keys()])
      if (!before.has(key)) before.set(key, this.initialOf(key));
    return [...before].flatMap(([key, value]) => this.changed(key, value));
  }

  /** Follows a change of the value. */
  private changed(key: string, before: string | undefined): SettingChange[] {
    const definition = byName.get(key);
    const after = this.get(key) ?? '';
    if (definition === undefined || after === before) return [];
    if (key === 'timezone') this.zone = this.zones.get(after) ?? zoneBySetting(after);
    if (key === 'extra_float_digits') this.extraFloatDigits = Number(after);
    if (key === 'bytea_output') this.byteaOutput = after === 'escape' ? 'escape' : 'hex';
    if (key === 'datestyle') this.dateOrder = dateOrderOf(after);
    if (key === 'statement_timeout') this.statementTimeoutMs = durationMs(after);
    if (key === 'lock_timeout') this.lockTimeoutMs = durationMs(after);
    if (key === 'idle_session_timeout') this.idleSessionTimeoutMs = durationMs(after);
    if (key === 'idle_in_transaction_session_timeout')
      this.idleInTransactionTimeoutMs = durationMs(after);
    if (key === 'flotilla.read_as_of') this.readAsOf = after;
    if (key.startsWith('default_transaction_')) this.defaultModes = this.modesBySettings();
    if (identities.has(key)) return this.becameUser(definition, after);
    return definition.reported === true ? [{ name: definition.name, value: after }] : [];
  }

  private modesBySettings(): DefaultModes {
    return {
      isolation: this.get('default_transaction_isolation') ?? 'serializable',
      readOnly: this.get('default_transaction_read_only') === 'on',
      deferrable: this.get('default_transaction_deferrable') === 'on',
    };
  }

  private becameUser(definition: SettingDefinition, value: string): SettingChange[] {
    const { isSuperuser = () => true } = this.options;
    const before = isSuperuser(this.user);
    const role = this.get('role') ?? 'none';
    this.sessionUser = this.get('session_authorization') ?? this.options.user;
    this.user = role === 'none' ? this.sessionUser : role;
    const after = isSuperuser(this.user);
    return [
      ...(definition.reported === true ? [{ name: definition.name, value }] : []),
      ...(before === after ? [] : [{ name: 'is_superuser', value: after ? 'on' : 'off' }]),
    ];
  }

  private initialOf(key: string): string | undefined {
    return this.defaults.get(key) ?? byName.get(key)?.initial;
  }

  private checkReset(name: string): undefined {
    const definition = byName.get(name.toLowerCase());
    if (definition === undefined) this.checkCustom(name);
    else this.checkChangeable(definition);
  }

  private checkChangeable(definition: SettingDefinition): void {
    if (definition.readOnly === true)
      throw new SqlError('55P02', `parameter "${definition.name}" cannot be changed`);
  }

  /** Names with a dot are anybody's. */
  private checkCustom(name: string): void {
    if (!/^[a-z_][\w$]*(\.[a-z_][\w$]*)+$/i.test(name))
      throw new SqlError('42704', `unrecognized configuration parameter "${name}"`);
    if (this.custom.size >= customMax && !this.custom.has(name.toLowerCase()))
      throw new SqlError('53400', `a session may have ${customMax} settings of its own at most`);
  }
}
