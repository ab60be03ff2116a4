import { DbError, emptyBytes, keyMax, kvPrefix, type Span, toHex } from '@flotilla/base';
import { beforeEach, describe, expect, it } from 'vitest';
import { allRows, createHarness, type Harness } from '../testing/harness.ts';
import type {
  ClusterInspector,
  LockFacts,
  RangeFacts,
  SpanConfiguration,
  StoreFacts,
} from './cluster-inspector.ts';

/** A cluster that is what its methods say: three stores, ranges cut where they were asked to be. */
class PretendedCluster implements ClusterInspector {
  readonly cuts: Buffer[] = [];
  readonly moves: string[] = [];
  refusal: DbError | undefined;

  readonly configured: [string, SpanConfiguration][] = [];
  /** The bounds of each. */
  readonly spans: string[] = [];

  async configure({ startKey, endKey }: Span, configuration: SpanConfiguration): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    this.configured.push([toHex(startKey), configuration]);
    this.spans.push(`${toHex(startKey)} ${toHex(endKey)}`);
  }

  async stores(): Promise<readonly StoreFacts[]> {
    return [1, 2].map((storeId) => ({
      ...{ storeId, machine: `m${storeId}`, zone: 'z', version: '1', draining: false },
      ...{ decommissioning: false, replicas: 3, leases: storeId, liveBytes: 10, walBytes: 20 },
      state: storeId === 1 ? ('answers' as const) : ('silent' as const),
      ...{ capacityBytes: 0, usedBytes: 0, requestsPerSecond: 7 },
      uptimeMs: storeId === 1 ? 1000 : undefined,
      clockSkewMs: storeId === 1 ? -1.5 : undefined,
      roundTripMs: storeId === 1 ? 2 : undefined,
      processId: undefined,
      reportedAtMs: 0,
    }));
  }

  async ranges(): Promise<readonly RangeFacts[]> {
    const bounds = [emptyBytes, kvPrefix, ...this.cuts.sort(Buffer.compare), keyMax];
    return bounds.slice(1).map((endKey, i) => ({
      rangeId: i + 1,
      startKey: bounds[i] ?? emptyBytes,
      endKey,
      ...{ generation: 1, term: 2, leaseholder: 1, lease: 'valid' as const },
      ...{ leaseRemainingMs: 900.4, liveBytes: 5, requestsPerSecond: 6 },
      replicas: [1, 2, 3].map((storeId) => ({
        ...{ storeId, replicaId: storeId, role: 'follower', appliedIndex: 1 },
        voter: storeId !== 3,
      })),
    }));
  }

  async events() {
    return [
      {
        ...{ number: 2, atMs: 1000, kind: 'lease', text: 'a lease went' },
        ...{ rangeId: 5, storeId: undefined },
      },
    ];
  }

  async transactions() {
    const id = Buffer.alloc(16, 0xab);
    return [
      { id, coordinator: 'c', startedAtMs: 0, locks: 1, intents: 2, waits: true, stores: [1, 2] },
    ];
  }

  locked: Uint8Array = kvPrefix;

  async locks(): Promise<readonly LockFacts[]> {
    const [holder, waiter] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    const common = { storeId: 1, rangeId: 4, key: this.locked, mode: 'exclusive' as const };
    return [
      {
        ...{ ...common, granted: false, transaction: waiter },
        ...{ waitingSinceMs: 5, blockedBy: [holder] },
      },
      {
        ...{ ...common, granted: true, transaction: holder },
        ...{ waitingSinceMs: undefined, blockedBy: [] },
      },
    ];
  }

  async contendedKeys() {
    const { locked: key } = this;
    return [{ storeId: 1, rangeId: 4, key, waits: 9, waitedMs: 12, conflicts: 3, lastAtMs: 0 }];
  }

  async split(key: Uint8Array): Promise<number> {
    if (this.refusal !== undefined) throw this.refusal;
    this.cuts.push(Buffer.from(key));
    return 70 + this.cuts.length;
  }

  async moveLease(rangeId: number, storeId: number): Promise<void> {
    if (storeId > 2) throw new DbError('INVALID_ARGUMENT', `no replica on s${storeId}`);
    this.moves.push(`${rangeId} led by ${storeId}`);
  }

  async moveReplica(rangeId: number, { from, to }: { from: number; to: number }): Promise<void> {
    this.moves.push(`${rangeId} ${from}>${to}`);
  }
}

let cluster: PretendedCluster;
let harness: Harness;
const query = (sql: string): ReturnType<Harness['query']> => harness.query(sql);

async function failure(sql: string): Promise<unknown> {
  try {
    await query(sql);
    return 'no error';
  } catch (error) {
    return error;
  }
}

beforeEach(async () => {
  cluster = new PretendedCluster();
  harness = await createHarness({ cluster });
  await query(`
    create table accounts (id bigint primary key, owner text not null, at timestamptz);
    create index by_owner on accounts (owner desc, id);
    create schema "Odd"; create table "Odd"."T" (a text, b int, primary key (a, b))`);
});

describe('storage parameters that ranges obey', () => {
  it('are told to the cluster when they are set, reset, and when the rows go elsewhere', async () => {
    await query(`create table t (a int primary key) with (replicas = 5, split_bytes = '64MB')`);
    const first = cluster.configured[0]?.[0];
    const made = { replicas: 5, splitBytes: 2 ** 26 };
    expect(cluster.configured).toEqual([[first, made]]);
    await query(`alter table t set (lease_preference = east, fillfactor = 70)`);
    const all = { ...made, leasePreference: 'east' };
    expect(cluster.configured.slice(1)).toEqual([[first, all]]);
    expect(await query(`select reloptions::text from pg_class where relname = 't'`)).toEqual([
      ['{replicas=5,split_bytes=67108864,lease_preference=east}'],
    ]);
    await query('truncate t');
    const second = cluster.configured[2]?.[0];
    expect(second).not.toBe(first);
    expect(cluster.configured.slice(2)).toEqual([
      [second, all],
      [first, {}],
    ]);
    await query('begin; alter table t reset (replicas); alter table t add b int; commit');
    const left = { splitBytes: 2 ** 26, leasePreference: 'east' };
    expect(cluster.configured.slice(4)).toEqual([[second, left]]);
    await query('begin; alter table t set (replicas = 1); rollback');
    await query('drop table t');
    expect(cluster.configured.slice(5)).toEqual([[second, {}]]);
  });

  it('are refused where they cannot be obeyed, and where nothing obeys them', async () => {
    for (const wrong of ['replicas = 2', "split_bytes = '1kB'", "lease_preference = ''"])
      for (const what of ['table accounts', 'database flotilla'])
        expect(await failure(`alter ${what} set (${wrong})`)).toMatchObject({ code: '22023' });
    for (const what of ['table accounts', 'database flotilla'])
      expect(await failure(`alter ${what} set (replica = 3)`)).toMatchObject({
        code: '22023',
        message: 'unrecognized parameter "replica"',
        fields: { hint: 'Parameters of ranges are replicas, split_bytes and lease_preference.' },
      });
    for (const what of ['table accounts', 'database flotilla'])
      expect(await failure(`alter ${what} set (gc_ttl = '1 hour')`)).toMatchObject({
        code: '0A000',
      });
    expect(await failure('create index on accounts (owner) with (replicas = 3)')).toMatchObject({
      code: '22023',
      message: 'unrecognized parameter "replicas"',
    });
    expect(cluster.configured).toEqual([]);
  });

  it('are given to databases too, whose new tables have them, and which tables say otherwise of', async () => {
    await query('alter database flotilla set (replicas = 5, lease_preference = east)');
    const ranges = { replicas: 5, leasePreference: 'east' };
    // All that the slice of the only database in it holds, and will hold.
    const slice = cluster.configured[0]?.[0];
    expect(cluster.configured).toEqual([[slice, ranges]]);
    expect(await query('select * from flotilla.databases order by name')).toEqual([
      ['flotilla', 5, null, 'east'],
      ['postgres', null, null, null],
    ]);
    await query('create table t (a int primary key); truncate t; drop table t');
    expect(cluster.configured).toHaveLength(1);
    await query('alter table accounts set (replicas = 1)');
    expect(cluster.configured.slice(1).map(([, one]) => one)).toEqual([{ replicas: 1 }]);
    await query('begin; alter database flotilla reset (lease_preference); rollback');
    await query('select 1; alter /* not a table */ database flotilla reset (lease_preference)');
    expect(cluster.configured.slice(2)).toEqual([[slice, { replicas: 5 }]]);
    await query('alter database flotilla with replicas = 7');
    await query('alter database flotilla reset (replicas)');
    expect(cluster.configured.slice(3)).toEqual([
      [slice, { replicas: 7 }],
      [slice, {}],
    ]);
  });

  it('tell databases apart that share a slice, and go with a database', async () => {
    // One of eight databases shares a slice with another.
    const shared: string[] = [];
    for (let i = 0; i < 7; i++) {
      await query(`create database d${i} with replicas = 5`);
      const database = `d${i}`;
      const session = harness.engine.createSession({ user: 'ann', database, events: {} });
      const before = cluster.spans.length;
      const [create] = session.parse('create table t (a int)');
      if (create !== undefined)
        await allRows(await session.execute(await session.prepare(create, []), []));
      await session.close();
      expect(cluster.configured.slice(before).map(([, one]) => one)).toEqual([{ replicas: 5 }]);
      const [span = ''] = cluster.spans.slice(before);
      // A slice's bounds are two bytes, a table's five.
      if (/^\w{10} /.test(span)) shared.push(span);
    }
    expect(shared).toHaveLength(1);
    const [from = '', end = ''] = (shared[0] ?? '').split(' ');
    expect(end).toHaveLength(4);
    await query('create table later (a int)');
    const [until] = cluster.spans.slice(-2).map((span) => span.split(' '));
    expect(until?.[0]).toBe(from);
    expect(until?.[1]).toHaveLength(10);
    expect(cluster.spans.at(-1)).toBe(`${from} ${end}`);
    expect(cluster.configured.slice(-2).map(([, one]) => one)).toEqual([{ replicas: 5 }, {}]);
    for (let i = 0; i < 7; i++) await query(`drop database d${i}`);
    const dropped = cluster.configured.slice(-7).map(([, one]) => one);
    expect(dropped).toEqual(Array.from({ length: 7 }, () => ({})));
  });

  it('are kept and warned of where the cluster does not answer', async () => {
    cluster.refusal = new DbError('UNAVAILABLE', 'nobody answers');
    await query('alter table accounts set (replicas = 5)');
    expect(harness.notices.map(({ code, message }) => [code, message])).toEqual([
      [
        '01000',
        'the ranges of table "accounts" do not obey its storage parameters; set one of them again: nobody answers',
      ],
    ]);
  });
});

describe('splitting', () => {
  it('cuts a table where ALTER TABLE … SPLIT AT says, once for each row', async () => {
    expect(await query('ALTER TABLE accounts SPLIT AT VALUES (1000), (2000);')).toEqual([
      [71n],
      [72n],
    ]);
    expect(await query('select start_text, end_text from flotilla.ranges offset 2')).toEqual([
      ['public.accounts/accounts_pkey/1000', 'public.accounts/accounts_pkey/2000'],
      ['public.accounts/accounts_pkey/2000', 'end'],
    ]);
    expect(
      await query(
        "select table_name, index_name from flotilla.ranges where schema_name = 'public'",
      ),
    ).toEqual([
      ['accounts', 'accounts_pkey'],
      ['accounts', 'accounts_pkey'],
    ]);
  });

  it('takes names in quotes, comments, fewer values than the key has columns, and any case', async () => {
    await query(`alter /* now */ table "Odd"."T" -- cut
      split at values ('x;y', 7), ('z', -1)`);
    await query(`select flotilla.split_table('"Odd"."T"', 'm')`);
    await query(`select flotilla.split_table('accounts')`);
    expect(
      await query('select start_text from flotilla.ranges where range_id > 2 order by start_text'),
    ).toEqual([
      ['"Odd"."T"/"T_pkey"/"m"'],
      ['"Odd"."T"/"T_pkey"/"x;y"/7'],
      ['"Odd"."T"/"T_pkey"/"z"/-1'],
      ['public.accounts/accounts_pkey'],
    ]);
  });

  it('cuts an index by its own order', async () => {
    expect(await query("alter index by_owner split at values ('mia'), ('ada')")).toHaveLength(2);
    expect(await query('select start_text from flotilla.ranges offset 2')).toEqual([
      ['public.accounts/by_owner/"mia"'],
      ['public.accounts/by_owner/"ada"'],
    ]);
    expect(await query("select flotilla.split_index('accounts_pkey', 5)")).toEqual([[73n]]);
  });

  it('is done once for a row that is evaluated again', async () => {
    await query(
      "select flotilla.split_table('accounts', id), flotilla.split_table('accounts', id + 1) from (values (1), (5)) as v(id)",
    );
    expect(cluster.cuts).toHaveLength(4);
  });

  it.each([
    ['alter table nosuch split at values (1)', '42P01'],
    ["alter table accounts split at values ('many')", '22P02'],
    ['alter table accounts split at values (1, 2)', '42601'],
    ['alter table accounts split at values (null)', '22004'],
    ['alter table accounts split at', '42601'],
    ['alter table accounts split at select 1', '42601'],
    ['alter table accounts split at values (1); select 1', '42601'],
    ['alter table accounts split by values (1)', '42601'],
    ["select 'split at' from", '42601'],
    ['alter table by_owner split at values (1)', '42809'],
    ["select flotilla.split_index('accounts', 1)", '42809'],
    ['select flotilla.nosuch(1)', '42883'],
    ['select split_table(1)', '42883'],
  ])('%s: %s', async (sql, code) => {
    expect(await failure(sql)).toMatchObject({ code });
    expect(cluster.cuts).toEqual([]);
  });

  it('points at what is wrong in the values', async () => {
    const sql = 'alter table accounts split at values (nosuch)';
    expect(await failure(sql)).toMatchObject({
      code: '42703',
      fields: { position: sql.indexOf('nosuch') + 1 },
    });
  });

  it('says what the cluster says', async () => {
    cluster.refusal = new DbError('UNAVAILABLE', 'another split is under way');
    expect(await failure('alter table accounts split at values (1)')).toMatchObject({
      code: '57P03',
    });
  });

  it('moves leases and replicas', async () => {
    await query('select flotilla.move_lease(5, 2), flotilla.move_replica(6, 1, 3)');
    expect(cluster.moves).toEqual(['5 led by 2', '6 1>3']);
    expect(await failure('select flotilla.move_lease(5, 3)')).toMatchObject({
      code: '22023',
      message: 'no replica on s3',
    });
  });
});

describe('tables', () => {
  it('shows stores, ranges, events and transactions', async () => {
    expect(
      await query(
        'select store_id, state, uptime_ms, clock_skew_ms, capacity_bytes from flotilla.stores',
      ),
    ).toEqual([
      [1, 'answers', 1000n, -1.5, null],
      [2, 'silent', null, null, null],
    ]);
    expect(
      await query(
        'select range_id, start_text, end_text, replicas::text, learners::text, lease_remaining_ms from flotilla.ranges limit 1',
      ),
    ).toEqual([[1n, 'start', 'kv', '{1,2}', '{3}', 900]]);
    expect(
      await query(
        'select number, at::text, kind, message, range_id, store_id from flotilla.events',
      ),
    ).toEqual([[2n, '1970-01-01 00:00:01+00', 'lease', 'a lease went', 5n, null]]);
    expect(
      await query('select transaction_id::text, stores::text, waits from flotilla.transactions'),
    ).toEqual([['abababab-abab-abab-abab-abababababab', '{1,2}', true]]);
  });

  it('shows who waits for whom, and on which row', async () => {
    await query('alter table accounts split at values (42)');
    cluster.locked = cluster.cuts[0] ?? kvPrefix;
    expect(
      await query(`
        select w.key_text, w.mode, h.granted, extract(epoch from w.waiting_since)::text
        from flotilla.locks w join flotilla.locks h on h.transaction_id = any (w.blocked_by)
        where not w.granted`),
    ).toEqual([['public.accounts/accounts_pkey/42', 'exclusive', true, '0.005000']]);
    expect(await query('select table_name, waits, conflicts from flotilla.contended_keys')).toEqual(
      [['accounts', 9n, 3n]],
    );
    expect(await query('select flotilla.key_text(key) from flotilla.contended_keys')).toEqual([
      ['public.accounts/accounts_pkey/42'],
    ]);
  });

  it('are found like any other', async () => {
    expect(
      await query(`select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'flotilla' and 'flotilla.locks'::regclass = c.oid`),
    ).toEqual([[1n]]);
    expect(
      await query(`select t.table_name, count(*) from information_schema.tables t
        join information_schema.columns c using (table_schema, table_name)
        where table_schema = 'flotilla' and table_type = 'VIEW' group by 1 order by 1 limit 2`),
    ).toEqual([
      ['contended_keys', 11n],
      ['databases', 4n],
    ]);
    expect(await failure('delete from flotilla.events')).toMatchObject({ code: '42501' });
    expect(await failure('create table flotilla.t (a int)')).toMatchObject({ code: '42501' });
    expect(await failure('select * from ranges')).toMatchObject({ code: '42P01' });
  });
});

describe('sessions', () => {
  it('are listed with what they do, until they are closed', async () => {
    const other = harness.engine.createSession({
      ...{ user: 'bob', database: 'main', applicationName: 'shop' },
      client: { processId: 77, address: '10.0.0.1', port: 5000 },
    });
    const run = async (sql: string): Promise<void> => {
      for (const statement of other.parse(sql))
        for await (const _rows of (await other.execute(await other.prepare(statement, []), []))
          .rows ?? []);
    };
    const listed = () =>
      query(
        'select process_id, user_name, application_name, client_address, state, statement from flotilla.sessions',
      );
    expect(await listed()).toEqual([[77, 'bob', 'shop', '10.0.0.1', 'idle', '']]);
    await run('begin; select 1');
    expect(await listed()).toEqual([
      [77, 'bob', 'shop', '10.0.0.1', 'idle in transaction', 'select 1'],
    ]);
    await expect(run('select 1/0')).rejects.toMatchObject({ code: '22012' });
    expect(await query('select state, pid from pg_stat_activity where pid = 77')).toEqual([
      ['idle in transaction (aborted)', 77],
    ]);
    other.close();
    expect(await listed()).toEqual([]);
  });
});

describe('without a cluster', () => {
  it('the tables are empty and the functions refused', async () => {
    harness = await createHarness();
    await query('create table t (id int primary key)');
    expect(await query('select * from flotilla.ranges')).toEqual([]);
    expect(await failure('alter table t split at values (1)')).toMatchObject({ code: '0A000' });
    expect(await failure('select flotilla.move_lease(1, 2)')).toMatchObject({ code: '0A000' });
  });
});

describe('functions about the session', () => {
  it('name the process, set settings as SET does, and sleep as long as they are let', async () => {
    expect(await query('select pg_backend_pid() > 0, pg_postmaster_start_time() <= now()')).toEqual(
      [[true, true]],
    );
    await query("begin; select set_config('application_name', 'one', true)");
    expect(await query('show application_name')).toEqual([['one']]);
    await query('rollback');
    expect(await query("select set_config('application_name', 'two', false)")).toEqual([['two']]);
    expect(await query('show application_name')).toEqual([['two']]);
    expect(await query("select set_config('application_name', 'three', true)")).toEqual([
      ['three'],
    ]);
    expect(await query('show application_name')).toEqual([['two']]);
    expect(await failure("select set_config('nosuch', '1', false)")).toMatchObject({
      code: '42704',
    });
    expect(await failure("select set_config('DateStyle', 'never', false)")).toMatchObject({
      code: '22023',
    });
    expect(await query('select pg_sleep(0.001) from generate_series(1, 3)')).toHaveLength(3);
    expect(await query("select count(pg_sleep(0)), count('{}'::json)")).toEqual([[1n, 1n]]);
    await query("set statement_timeout = '20ms'");
    expect(await failure('select pg_sleep(1000000000)')).toMatchObject({ code: '57014' });
  });
});
