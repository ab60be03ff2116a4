/**
 * The catalog of the cluster as one process sees it: the newest snapshot that it knows of. Sessions see it through the
 * `DatabaseCatalog` of their database. While the process holds a lease on the version,
 * statements are covered by it (docs/adr/0011-catalog-lease.md). Around a change of the catalog they ask `confirm` whether
 * what they rest on still holds, which costs a read of the version (docs/adr/0006-catalog-version-check.md).
 */
import { compareBytes, DbError } from '@flotilla/base';
import { isUnknown } from '../kv-errors.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { snapshotRunsMax } from '../limits.ts';
import { arrayTypeOf, type SqlType } from '../types/type.ts';
import {
  type RelationDescriptor,
  type SchemaDescriptor,
  sqlTypeOf,
  type TypeDescriptor,
} from './descriptor.ts';
import {
  decodeAccess,
  decodeDescriptor,
  decodeSchema,
  decodeType,
  type Placed,
  type TypesByOid,
} from './descriptor-codec.ts';
import type { CatalogEditor } from './editor.ts';
import type { Grant } from './grant.ts';
import {
  accessSpan,
  catalogVersionKey,
  decodeCounter,
  relationsSpan,
  schemasSpan,
  statisticsSpan,
} from './keys.ts';
import type { CatalogLease } from './lease.ts';
import { type AccessDescriptor, accessName, initialDatabaseId } from './role.ts';
import { CatalogSnapshot } from './snapshot.ts';
import { decodeStatistics, encodeStatistics, type TableStatistics } from './statistics.ts';

/** A name that was looked up, and what it led to. */
export interface Dependency {
  readonly schema: string;
  readonly name: string;
  /** The privileges on the schema, as text: who may look into it is checked by the plan. */
  readonly schemaAcl: string | undefined;
  readonly relation: RelationDescriptor | TypeDescriptor;
}

/** What a plan rests on. */
export interface CatalogDependent {
  readonly dependencies: readonly Dependency[];
  /** The oid of the database that the names are of. */
  readonly database: number;
  /** The catalog version for which the dependencies are known to hold. Moves up as that is confirmed. */
  catalogVersion: number;
  /** The roles as they were when it was made. */
  readonly access: ReadonlyMap<string, AccessDescriptor>;
  /** The catalog that it was made by, where that is a transaction's own. */
  readonly provisional: CatalogSnapshot | undefined;
}

export interface Pinned {
  readonly version: number;
  /** What the commit rests on. */
  readonly grant: Grant | undefined;
}

export interface Confirmed {
  readonly holds: boolean;
  /** What the commit rests on. */
  readonly grant: Grant | undefined;
}

/** Roles and the like as they were read last, and the bytes that they were read from. */
interface AccessRead {
  readonly all: ReadonlyMap<string, AccessDescriptor>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

export class Catalog {
  private readonly database: KvDatabase;
  private lease: CatalogLease | undefined;
  private known = CatalogSnapshot.empty();
  private decoded = new Map<
    number,
    { bytes: Uint8Array; object: Placed<RelationDescriptor | TypeDescriptor> }
  >();
  private accessRead: AccessRead = { all: new Map(), bytes: new Map() };
  private loaded = false;
  private loading: Promise<CatalogSnapshot> | undefined;

  constructor(database: KvDatabase) {
    this.database = database;
  }

  /** From now on statements rely on its grants. */
  relyOn(lease: CatalogLease): void {
    this.lease = lease;
  }

  /**
   * The newest snapshot that this process has, from within any database. Version 0 before the first `load`, unless there is
   * nothing to load.
   */
  get snapshot(): CatalogSnapshot {
    return this.known;
  }

  /** Whether it has been read at all. */
  get isLoaded(): boolean {
    return this.loaded;
  }

  /** The newest version that this process has seen. */
  get version(): number {
    return this.known.version;
  }

  /** Whether the newest snapshot here surely is the newest there is. Without leases it is taken for that. */
  get isNewest(): boolean {
    if (this.lease === undefined) return true;
    return this.lease.current()?.version === this.known.version;
  }

  /** The version now, by the lease or by a read that begins after this call. Errors: those of KvTransaction.get. */
  async readVersion(): Promise<number> {
    const granted = this.lease?.current()?.version;
    if (granted !== undefined) return granted;
    return decodeCounter(await this.database.begin({ readOnly: true }).get(catalogVersionKey));
  }

  /** True if every name of the plan still leads to what it led to; moves the plan's version up if so. */
  async confirm(plan: CatalogDependent): Promise<boolean> {
    if (plan.dependencies.length === 0) return true;
    return this.holdsAt(plan, await this.readVersion());
  }

  /** As `confirm`, and it stays so until the transaction has committed. Errors: those of `pin`. */
  async confirmForCommit(plan: CatalogDependent, transaction: KvTransaction): Promise<Confirmed> {
    const { version, grant } = await this.pin(transaction);
    return { holds: await this.holdsAt(plan, version), grant };
  }

  /** @param version the newest */
  private async holdsAt(plan: CatalogDependent, version: number): Promise<boolean> {
    if (version === plan.catalogVersion) return true;
    if (plan.provisional !== undefined)
      throw new DbError('CONFLICT', 'the catalog was changed by another session');
    await this.load(version);
    return this.stillNamed(plan);
  }

  /** What the plan may be run under: all of its names mean what they meant until then. Undefined: they must be confirmed. */
  cover(plan: CatalogDependent): Grant | undefined {
    const grant = this.lease?.current();
    // A version that has not been read yet is for `confirm` to read.
    if (grant === undefined || grant.version !== this.known.version) return undefined;
    if (plan.catalogVersion === grant.version) return grant;
    return plan.provisional === undefined && this.stillNamed(plan) ? grant : undefined;
  }

  /**
   * The newest version, which stays the newest until the transaction has committed: it is bound by a grant, or has read the
   * version under a lock. Errors: those of KvTransaction.get with a lock.
   */
  async pin(transaction: KvTransaction): Promise<Pinned> {
    const grant = this.lease?.current();
    transaction.bound = grant;
    if (grant !== undefined) return { version: grant.version, grant };
    const counter = await transaction.get(catalogVersionKey, { lock: 'share', beside: true });
    return { version: decodeCounter(counter), grant };
  }

  /** Commits what rests on the grant. Errors: those of KvTransaction.commit. */
  commit(transaction: KvTransaction, grant: Grant | undefined): Promise<void> {
    return grant === undefined
      ? transaction.commit()
      : this.commitUnder(grant, () => transaction.commit());
  }

  /** What `commit` does, and may commit, rests on the grant. */
  async commitUnder<Result>(grant: Grant, commit: () => Promise<Result>): Promise<Result> {
    let unknown = false;
    grant.enter();
    try {
      return await commit();
    } catch (error) {
      unknown = isUnknown(error);
      throw error;
    } finally {
      grant.leave(unknown);
    }
  }

  /** Commits the transaction with the editor's changes in it. Errors: those of CatalogEditor.flush and `publish`. */
  async change(editor: CatalogEditor, transaction: KvTransaction): Promise<void> {
    let next: CatalogSnapshot | undefined;
    const install = (): void => {
      if (next === undefined) return;
      // Statistics may have come since the editor began.
      const { statistics = none } = this.known.contents;
      this.install(new CatalogSnapshot({ ...next.contents, statistics }));
    };
    await this.publish(
      transaction,
      async () => {
        next = await editor.flush(transaction, this.database.now());
        return next.version;
      },
      install,
    );
  }

  /**
   * Commits a change of the catalog when nobody relies on it as it was.
   * @param write leaves the change in the transaction, the version included, and says which that is then
   * @param onCommit when it is made, before anybody relies on it
   * Errors: those of `write`, of KvTransaction.get with a lock and of commit.
   */
  async publish(
    transaction: KvTransaction,
    write: () => Promise<number>,
    onCommit?: () => void,
  ): Promise<void> {
    transaction.bound = undefined;
    const clearing = await this.lease?.clear(transaction);
    let made: number | undefined;
    try {
      const version = await write();
      await transaction.commit();
      onCommit?.();
      made = version;
    } finally {
      if (made === undefined) clearing?.end();
      else clearing?.done(made);
    }
  }

  /** As `confirm`, as of the newest version known here, without asking whether there is a newer one. */
  stillNamed(plan: CatalogDependent): boolean {
    const { version } = this.known;
    if (plan.catalogVersion === version) return true;
    // Who may do what is checked by the roles that the plan was made by.
    if (plan.access !== this.known.contents.access) return false;
    const known = this.known.at(plan.database);
    for (const { schema, name, relation, schemaAcl } of plan.dependencies) {
      const current = known.findObject(schema, name);
      if (current?.id !== relation.id || current.version !== relation.version) return false;
      if (JSON.stringify(known.schemas.get(schema)?.acl) !== schemaAcl) return false;
    }
    plan.catalogVersion = version;
    return true;
  }

  /** The catalog at this version or a newer one. Errors: those of KvTransaction.get and scan, CORRUPTION. */
  async load(atLeast: number): Promise<CatalogSnapshot> {
    while (this.known.version < atLeast) {
      this.loading ??= this.read().finally(() => {
        this.loading = undefined;
      });
      this.install(await this.loading);
    }
    return this.known;
  }

  /** Reads the catalog, if that has not been done yet. */
  async loadFirst(): Promise<void> {
    if (!this.loaded) await this.loadNewest();
  }

  /** The catalog as it is now: begins with a read of the version after this call. */
  async loadNewest(): Promise<CatalogSnapshot> {
    const snapshot = await this.load(await this.readVersion());
    this.loaded = true;
    return snapshot;
  }

  /** The same catalog with the statistics that there are now, which change without it. */
  async loadStatistics(): Promise<CatalogSnapshot> {
    const transaction = this.database.begin({ readOnly: true });
    const statistics = await readStatistics(transaction, this.known);
    this.known = new CatalogSnapshot({ ...this.known.contents, statistics });
    return this.known;
  }

  /** Takes note of a snapshot, unless a newer one is known. */
  install(snapshot: CatalogSnapshot): void {
    if (snapshot.version <= this.known.version) return;
    this.known = snapshot;
  }

  private async read(): Promise<CatalogSnapshot> {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.database.begin({ readOnly: true });
      const version = decodeCounter(await transaction.get(catalogVersionKey));
      const databases = new Databases();
      for await (const batch of transaction.scan(schemasSpan))
        for (const { value } of batch) {
          const { database, descriptor } = decodeSchema(value);
          databases.of(database).schemas.set(descriptor.name, descriptor);
        }
      const access = await this.readAccess(transaction);
      const stored = new Map<number, Uint8Array>();
      for await (const batch of transaction.scan(relationsSpan))
        for (const { key, value } of batch)
          stored.set(Buffer.from(key).readUInt32BE(key.length - 4), value);
      const decoded = this.decodeAll(stored, databases);
      const statistics = await readStatistics(transaction, this.known);
      // All of it is of one version only if that is still the version.
      const after = decodeCounter(
        await this.database.begin({ readOnly: true }).get(catalogVersionKey),
      );
      if (after === version) {
        this.decoded = decoded;
        this.accessRead = access;
        const elsewhere = new Map(databases.all);
        elsewhere.delete(initialDatabaseId);
        return new CatalogSnapshot({
          version,
          ...databases.of(undefined),
          database: initialDatabaseId,
          elsewhere,
          access: access.all,
          statistics,
        });
      }
      if (attempt >= snapshotRunsMax)
        throw new DbError('CONFLICT', 'the catalog changes faster than it can be read');
    }
  }

  /** The same object as before where nothing has changed: plans that were checked against it stay good. */
  private async readAccess(transaction: KvTransaction): Promise<AccessRead> {
    const bytes = new Map<string, Uint8Array>();
    for await (const batch of transaction.scan(accessSpan))
      for (const { key, value } of batch) bytes.set(Buffer.from(key).toString('latin1'), value);
    const last = this.accessRead;
    const same =
      bytes.size === last.bytes.size &&
      [...bytes].every(([key, value]) => {
        const before = last.bytes.get(key);
        return before !== undefined && compareBytes(before, value) === 0;
      });
    if (same) return last;
    const all = new Map<string, AccessDescriptor>();
    for (const value of bytes.values()) {
      const one = decodeAccess(value);
      all.set(accessName(one), one);
    }
    return { all, bytes };
  }

  /**
   * Types first: columns are of them. A descriptor that is what it was stays the same object; where a type changes, so do the
   * descriptors of all relations with columns of it.
   */
  private decodeAll(
    stored: ReadonlyMap<number, Uint8Array>,
    databases: Databases,
  ): Catalog['decoded'] {
    const decoded: Catalog['decoded'] = new Map();
    const types = new Map<number, TypeDescriptor>();
    const others: [id: number, bytes: Uint8Array][] = [];
    const arrays = new Map<number, SqlType>();
    const keep = (
      id: number,
      bytes: Uint8Array,
      object: Placed<RelationDescriptor | TypeDescriptor>,
    ) => {
      const { descriptor } = object;
      if (descriptor.id !== id)
        throw new DbError('CORRUPTION', `descriptor ${id} says it is ${descriptor.id}`);
      decoded.set(id, { bytes, object });
      const database = databases.of(object.database);
      if (descriptor.kind !== 'type') return database.relations.set(id, descriptor);
      const array = arrayTypeOf(sqlTypeOf(descriptor));
      if (array !== undefined) arrays.set(descriptor.arrayOid, array);
      types.set(id, descriptor);
      return database.types.set(id, descriptor);
    };
    const typeByOid: TypesByOid = (oid) => {
      const type = types.get(oid);
      return type === undefined ? arrays.get(oid) : sqlTypeOf(type);
    };
    // A domain is younger than the type that it is over.
    for (const [id, bytes] of [...stored].sort(([a], [b]) => a - b)) {
      const before = this.decoded.get(id);
      if (before !== undefined && compareBytes(before.bytes, bytes) === 0)
        keep(id, bytes, before.object);
      else {
        const type = decodeType(bytes, typeByOid);
        if (type === undefined) others.push([id, bytes]);
        else keep(id, bytes, type);
      }
    }
    for (const [id, bytes] of others) keep(id, bytes, decodeDescriptor(bytes, typeByOid));
    return decoded;
  }
}

/** What has been read of each database. */
class Databases {
  readonly all = new Map<number, MutableContents>();

  /** @param id undefined: the initial one */
  of(id: number = initialDatabaseId): MutableContents {
    let found = this.all.get(id);
    if (found === undefined) {
      found = { schemas: new Map(), relations: new Map(), types: new Map() };
      this.all.set(id, found);
    }
    return found;
  }
}

interface MutableContents {
  readonly schemas: Map<string, SchemaDescriptor>;
  readonly relations: Map<number, RelationDescriptor>;
  readonly types: Map<number, TypeDescriptor>;
}

const none: ReadonlyMap<number, TableStatistics> = new Map();

/** Those that are what they were stay the same objects. */
async function readStatistics(
  transaction: KvTransaction,
  before: CatalogSnapshot,
): Promise<Map<number, TableStatistics>> {
  const statistics = new Map<number, TableStatistics>();
  for await (const batch of transaction.scan(statisticsSpan))
    for (const { value } of batch) {
      const found = decodeStatistics(value);
      if (found === undefined) continue;
      const last = before.statisticsOf(found.table);
      const same = last !== undefined && compareBytes(encodeStatistics(last), value) === 0;
      statistics.set(found.table, same ? last : found);
    }
  return statistics;
}
