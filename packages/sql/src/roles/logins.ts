/**
 * Who may begin a session: what a gateway asks before there is one. Verifiers and attributes of roles as they are now, not
 * as this process saw them last.
 */
import { randomBytes } from 'node:crypto';
import { DbError } from '@flotilla/base';
import { heldLetters } from '../catalog/acl.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { missingDatabase } from '../catalog/database-catalog.ts';
import { loginSecretKey } from '../catalog/keys.ts';
import { databaseAclOf } from '../catalog/object-acl.ts';
import type { SettingValues } from '../catalog/role.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import { conflictRunsMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { authorityOf } from './authority.ts';
import { mockScramVerifier, parseScramVerifier, type ScramVerifier } from './scram-verifier.ts';
import { settingsOfLogin } from './stored-settings.ts';

export interface Login {
  /** False: no role has the name. */
  readonly known: boolean;
  /** The oid of the database. */
  readonly database: number;
  /** Sessions at a time in one gateway; -1 = any number. */
  readonly connectionLimit: number;
  /** What the session begins with. */
  readonly settings: SettingValues;
}

export interface Logins {
  /** What the password of this user is checked against. For one who has none, something that no password fits and that
   *  is the same each time. Errors: those of KvTransaction.get and commit. */
  verifier(user: string): Promise<ScramVerifier>;
  /**
   * Whether this user may begin a session, having shown who he is.
   * @param mustExist a name that no role has is refused
   * Throws SqlError 28000, 3D000, 42501.
   */
  admit(user: string, database: string, options: { readonly mustExist: boolean }): Promise<Login>;
}

export interface CatalogLoginsOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  /** Microseconds since 2000. */
  readonly now: () => bigint;
}

export class CatalogLogins implements Logins {
  private readonly options: CatalogLoginsOptions;
  private secret: Promise<Uint8Array> | undefined;

  constructor(options: CatalogLoginsOptions) {
    this.options = options;
  }

  async verifier(user: string): Promise<ScramVerifier> {
    // Both are looked up for everybody, so that the time it takes says nothing.
    const secret = await this.loginSecret();
    const mock = mockScramVerifier(user, secret);
    const { roles } = await this.options.catalog.loadNewest();
    const role = roles.get(user);
    const { validUntil, verifier } = role ?? {};
    if (validUntil !== undefined && BigInt(validUntil) < this.options.now()) return mock;
    return parseScramVerifier(verifier ?? '') ?? mock;
  }

  async admit(
    user: string,
    database: string,
    options: { readonly mustExist: boolean },
  ): Promise<Login> {
    const newest = await this.options.catalog.loadNewest();
    const role = newest.roles.get(user);
    if (role === undefined && options.mustExist)
      throw new SqlError('28000', `role "${user}" does not exist`);
    if (role?.login === false)
      throw new SqlError('28000', `role "${user}" is not permitted to log in`);
    const found = newest.databases.get(database);
    if (found === undefined) throw missingDatabase(database);
    const settings = settingsOfLogin(newest, user, database);
    if (role === undefined)
      return { known: false, database: found.id, connectionLimit: -1, settings };
    const snapshot = newest.at(found.id);
    const acl = databaseAclOf(found);
    const { superuser, roles } = authorityOf(snapshot, { user, trusted: undefined });
    if (!superuser && !heldLetters(acl, (one) => roles.has(one)).includes('c'))
      throw new SqlError('42501', `permission denied for database "${database}"`, {
        detail: 'User does not have CONNECT privilege.',
      });
    return {
      known: true,
      database: found.id,
      connectionLimit: role.superuser ? -1 : role.connectionLimit,
      settings,
    };
  }

  private loginSecret(): Promise<Uint8Array> {
    this.secret ??= this.readSecret().catch((error: unknown) => {
      this.secret = undefined;
      throw error;
    });
    return this.secret;
  }

  /** The first who needs it makes it. */
  private async readSecret(): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.options.database.begin();
      const stored = await transaction.get(loginSecretKey);
      if (stored !== undefined) {
        transaction.rollback();
        return stored;
      }
      const secret = randomBytes(32);
      transaction.put(loginSecretKey, secret);
      try {
        await transaction.commit();
        return secret;
      } catch (error) {
        const conflict = error instanceof DbError && error.code === 'CONFLICT';
        if (!conflict || attempt >= conflictRunsMax) throw error;
      }
    }
  }
}
