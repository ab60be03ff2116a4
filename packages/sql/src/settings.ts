/**
 * Settings of a session: the ones that drivers and tools set and show. A setting that changes how statements run is
 * honoured or its unsupported values are refused; the rest are kept and shown, as PostgreSQL keeps them for parts that
 * do not exist here.
 */
import {
  booleanValue,
  byName,
  durationMs,
  numberValue,
  type SettingDefinition,
} from './setting-definitions.ts';
import { SqlError } from './sql-error.ts';
import { type TimeZone, utcZone, zoneBySetting } from './types/time-zone.ts';

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
