/** What is not built is refused by name, with SQLSTATE 0A000, and never ignored. */
import { SystemClock } from '@flotilla/base';
import { beforeAll, expect, it } from 'vitest';
import { createSqlEngine } from './engine.ts';
import type { SqlSession } from './session-api.ts';
import { MemoryKvDatabase } from './testing/memory-kv-database.ts';
import { answerSqlCase } from './testing/sql-cases.ts';

/** Statement → the construct that its error names, and the position of it where the grammar gives one. */
const refused: readonly (readonly [string, string])[] = [
  ['select x.id from (select id from t) x for update', 'FOR UPDATE of a query in FROM'],
  ['select rank(1) within group (order by id) from t', '@8 hypothetical-set aggregate rank'],
  [
    'with recursive r(n) as (select 1 union all select n from r) search depth first by n set o select 1',
    '@61 SEARCH',
  ],
  [
    'with recursive r(n) as (select 1 union all select n from r) cycle n set c using p select 1',
    '@61 CYCLE',
  ],
  [
    'select * from t, t u left join lateral (select t.id) x on true',
    'LATERAL reference across an outer join',
  ],
  ['select ctid from t', '@8 system column "ctid"'],
  ['select xmlagg(id) from t', '@8 aggregate xmlagg'],
  ["select 'a' ~ '(a)\\1'", 'back-reference in a regular expression'],
  ["select '1'::money", '@13 type money'],
  ["select '(1,2)'::point", '@17 type point'],
  ["select '<a/>'::xml", '@16 type xml'],
  ['select \'a\' collate "de_DE"', '@12 collation "de_DE"'],
  ["select b'1'", '@8 bit string'],
  ['select * from t tablesample system (1)', 'TABLESAMPLE'],
  ['update t set id = 1 where current of c', 'WHERE CURRENT OF'],
  ['create table x (a int, primary key (a) include (a))', '@24 INCLUDE'],
  ['create database x tablespace fast', 'TABLESPACE fast'],
  ['alter database main connection limit 5', 'CONNECTION LIMIT 5'],
  ['create table x (a int) inherits (t)', 'INHERITS and PARTITION OF'],
  ['create table x (a int) partition by range (a)', 'PARTITION BY'],
  ['create table x (a int, exclude (a with =))', '@24 EXCLUDE constraint'],
  ['create table x (a int unique nulls not distinct)', '@23 NULLS NOT DISTINCT'],
  ['explain refresh materialized view v', 'EXPLAIN REFRESH MATERIALIZED VIEW'],
  ['explain analyze create table x as select 1', 'EXPLAIN CREATE TABLE AS'],
  ['create view v as select id from t with check option', 'WITH CHECK OPTION'],
  ['create index on t using gin (id)', 'index method gin'],
  ['alter table t enable row level security', 'ALTER TABLE … ENABLE ROW SECURITY'],
  ['alter table t inherit u', 'ALTER TABLE … ADD INHERIT'],
  ['copy t from stdin where id = 1', 'COPY … WHERE'],
  ["copy t to '/tmp/t'", 'COPY to or from a file or program'],
  ['grant execute on function f to ann', 'GRANT ON FUNCTION'],
  ['lock table t', 'LOCK TABLE'],
  ['do $$ begin end $$', 'DO'],
  ['explain (buffers) select 1', '@10 EXPLAIN (BUFFERS)'],
  ["prepare transaction 'x'", 'PREPARE TRANSACTION'],
  ["set time zone interval '1' hour", 'SET TIME ZONE INTERVAL'],
  ['set datestyle = german', 'DateStyle german'],
  ["set client_encoding = 'latin1'", 'client encoding latin1'],
  ['set standard_conforming_strings = off', 'standard_conforming_strings = off'],
];

let session: SqlSession;

beforeAll(async () => {
  const engine = await createSqlEngine({
    database: new MemoryKvDatabase(),
    clock: new SystemClock(),
  });
  session = engine.createSession({ user: 'ann', database: 'main' });
  await run('create table t (id int primary key, name text)');
});

function run(sql: string): Promise<string> {
  return answerSqlCase(session, { sql, parameters: undefined, expected: '' }, []);
}

for (const [sql, what] of refused)
  it(sql, async () => {
    const [, position = '', construct = ''] = /^(@\d+ )?(.*)$/s.exec(what) ?? [];
    expect(await run(sql)).toBe(`ERROR 0A000 ${position}${construct} is not supported yet`);
  });
