/**
 * The catalog as one process sees it: the newest snapshot that it knows of. Statements ask `confirm` whether what they rest
 * on still holds; the answer costs one read of the version key, which all statements that start in one turn of the event
 * loop share. See docs/adr/0006-catalog-version-check.md.
 */
import { type Clock, compareBytes, DbError } from '@flotilla/base';
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
  type TypesByOid,
} from './descriptor-codec.ts';
import {
  accessSpan,
  catalogVersionKey,
  decodeCounter,
  relationsSpan,
  schemasSpan,
  statisticsSpan,
} from './keys.ts';
import { type AccessDescriptor, accessName } from './role.ts';
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
  /** The catalog version for which the dependencies are known to hold. Moves up as that is confirmed. */
  catalogVersion: number;
  /** The roles as they were when it was made. */
  readonly access: ReadonlyMap<string, AccessDescriptor>;
  /** The catalog that it was made by, where that is a transaction's own. */
  readonly provisional: CatalogSnapshot | undefined;
}

/** Roles and the like as they were read last, and the bytes that they were read from. */
interface AccessRead {
  readonly all: ReadonlyMap<string, AccessDescriptor>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

export class Catalog {
  private readonly database: KvDatabase;
  private readonly clock: Clock;
  private known = CatalogSnapshot.empty();
  private decoded = new Map<
    number,
    { bytes: Uint8Array; relation: RelationDescriptor | TypeDescriptor }
  >();
  private accessRead: AccessRead = { all: new Map(), bytes: new Map() };
  private shared: Promise<number> | undefined;
  private loaded = false;
  private loading: Promise<CatalogSnapshot> | undefined;

  constructor(database: KvDatabase, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  /** The newest snapshot that this process has. Version 0 before the first `load`, unless there is nothing to load. */
  get snapshot(): CatalogSnapshot {
    return this.known;
  }

  /** The newest version that this process has seen. */
  get version(): number {
    return this.known.version;
  }

  /**
   * The version now: a read that is not answered yet and began no earlier than the turn of the event loop in which it is
   * asked for, and after every change of the catalog that this process has made. Errors: those of KvTransaction.get.
   */
  readVersion(): Promise<number> {
    if (this.shared === undefined) return this.readVersionAfresh();
    return this.shared;
  }

  /** As `readVersion`, but the read begins after this call. */
  readVersionAfresh(): Promise<number> {
    const reading = this.database
      .begin({ readOnly: true })
      .get(catalogVersionKey)
      .then(decodeCounter);
    this.shared = reading;
    const forget = () => this.forget(reading);
    // A read that has been answered, or that began in an earlier turn, may be older than who asks now.
    reading.then(forget, forget);
    this.clock.afterTurn(forget);
    return reading;
  }

  /**
   * True if every name of the plan still leads to what it led to; moves the plan's version up if so.
   * @param afresh the check must begin after this call, not just after the start of this turn
   */
  async confirm(plan: CatalogDependent, afresh = false): Promise<boolean> {
    if (plan.dependencies.length === 0) return true;
    const version = await (afresh ? this.readVersionAfresh() : this.readVersion());
    if (version === plan.catalogVersion) return true;
    if (plan.provisional !== undefined)
      throw new DbError('CONFLICT', 'the catalog was changed by another session');
    await this.load(version);
    return this.stillNamed(plan);
  }

  /** As `confirm`, as of the newest version known here, without asking whether there is a newer one. */
  stillNamed(plan: CatalogDependent): boolean {
    const { version } = this.known;
    if (plan.catalogVersion === version) return true;
    // Who may do what is checked by the roles that the plan was made by.
    if (plan.access !== this.known.contents.access) return false;
    for (const { schema, name, relation, schemaAcl } of plan.dependencies) {
      const current = this.known.findObject(schema, name);
      if (current?.id !== relation.id || current.version !== relation.version) return false;
      if (JSON.stringify(this.known.schemas.get(schema)?.acl) !== schemaAcl) return false;
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
    if (this.loaded) return;
    await this.loadNewest();
    this.loaded = true;
  }

  /** The catalog as it is now: begins with a read of the version after this call. */
  async loadNewest(): Promise<CatalogSnapshot> {
    return this.load(await this.readVersionAfresh());
  }

  /** Takes note of a snapshot, unless a newer one is known. */
  install(snapshot: CatalogSnapshot): void {
    if (snapshot.version <= this.known.version) return;
    this.known = snapshot;
    this.shared = undefined;
  }

  private async read(): Promise<CatalogSnapshot> {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.database.begin({ readOnly: true });
      const version = decodeCounter(await transaction.get(catalogVersionKey));
      const schemas = new Map<string, SchemaDescriptor>();
      for await (const batch of transaction.scan(schemasSpan))
        for (const { value } of batch) {
          const schema = decodeSchema(value);
          schemas.set(schema.name, schema);
        }
      const access = await this.readAccess(transaction);
      const stored = new Map<number, Uint8Array>();
      for await (const batch of transaction.scan(relationsSpan))
        for (const { key, value } of batch)
          stored.set(Buffer.from(key).readUInt32BE(key.length - 4), value);
      const { decoded, relations, types } = this.decodeAll(stored);
      const statistics = await readStatistics(transaction, this.known);
      // All of it is of one version only if that is still the version.
      const after = decodeCounter(
        await this.database.begin({ readOnly: true }).get(catalogVersionKey),
      );
      if (after === version) {
        this.decoded = decoded;
        this.accessRead = access;
        return new CatalogSnapshot({
          version,
          schemas,
          relations,
          types,
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
  private decodeAll(stored: ReadonlyMap<number, Uint8Array>): {
    readonly decoded: Catalog['decoded'];
    readonly relations: ReadonlyMap<number, RelationDescriptor>;
    readonly types: ReadonlyMap<number, TypeDescriptor>;
  } {
    const decoded: Catalog['decoded'] = new Map();
    const relations = new Map<number, RelationDescriptor>();
    const types = new Map<number, TypeDescriptor>();
    const others: [id: number, bytes: Uint8Array][] = [];
    const arrays = new Map<number, SqlType>();
    const keep = (id: number, bytes: Uint8Array, relation: RelationDescriptor | TypeDescriptor) => {
      if (relation.id !== id)
        throw new DbError('CORRUPTION', `descriptor ${id} says it is ${relation.id}`);
      decoded.set(id, { bytes, relation });
      if (relation.kind !== 'type') return relations.set(id, relation);
      const array = arrayTypeOf(sqlTypeOf(relation));
      if (array !== undefined) arrays.set(relation.arrayOid, array);
      return types.set(id, relation);
    };
    for (const [id, bytes] of stored) {
      const before = this.decoded.get(id);
      if (before !== undefined && compareBytes(before.bytes, bytes) === 0)
        keep(id, bytes, before.relation);
      else {
        const type = decodeType(bytes);
        if (type === undefined) others.push([id, bytes]);
        else keep(id, bytes, type);
      }
    }
    const typeByOid: TypesByOid = (oid) => {
      const type = types.get(oid);
      return type === undefined ? arrays.get(oid) : sqlTypeOf(type);
    };
    for (const [id, bytes] of others) keep(id, bytes, decodeDescriptor(bytes, typeByOid));
    return { decoded, relations, types };
  }

  private forget(reading: Promise<number>): void {
    if (this.shared === reading) this.shared = undefined;
  }
}

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
