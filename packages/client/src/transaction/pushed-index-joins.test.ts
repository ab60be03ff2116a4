/** Programs over rows that an index or a join leads to, at real stores: the same rows, whatever is in the way of them. */
import { afterEach, expect, it } from 'vitest';
import {
  everywhere,
  notEverywhere,
  pieces,
  type Row,
  rows,
  SqlWorld,
} from './sql-world.test-kit.ts';
import type { StoreWorldOptions } from './store-world.test-kit.ts';

let world: SqlWorld;

afterEach(() => world.end());

const half = rows / 2;

/** `w` has the rows in another order than their keys. */
async function start(options: StoreWorldOptions): Promise<void> {
  world = await SqlWorld.start(
    options,
    'create table t (id int primary key, g int, v int, w int, x int, body text)',
    `insert into t select i, i % 7, i, i * 77 % ${rows - 1}, i % 10, repeat('x', 50) from generate_series(0, ${rows - 2}) i;
     create index t_w on t (w, x);
     create table u (k int primary key, t_id int);
     insert into u select i, i * 11 % ${rows} from generate_series(0, 99) i`,
  );
}

const ask = (...asked: Parameters<SqlWorld['ask']>): Promise<readonly Row[]> => world.ask(...asked);

/** What the rows are, by arithmetic. */
const all = Array.from({ length: rows - 1 }, (_, id) => ({
  id,
  g: id % 7,
  v: id,
  w: (id * 77) % (rows - 1),
  x: id % 10,
})).sort((a, b) => a.w - b.w);
const found = all.filter(({ w, v }) => w < half && v % 3 === 1);
const question = `select id, v from t where w < ${half} and v % 3 = 1 order by w`;
const answer = found.map(({ id, v }) => [id, v]);

it('is evaluated on all ranges, in the order of the index', async () => {
  await start(everywhere());
  const plan = (await ask(`explain ${question}`)).map(String).join('\n');
  expect(plan).toContain('Index Scan using t_w on t');
  expect(plan).toContain('At Stores: keys, filter, columns');
  expect(await ask(question)).toEqual(answer);
  expect(await ask(question.replace('by w', 'by w desc'))).toEqual([...answer].reverse());
  const told = await world.told(question);
  expect(told['Evaluated ranges']).toBeGreaterThanOrEqual(pieces);
  // Entries and rows are read there; keys travel, and of the rows those that pass.
  expect(told['Evaluated rows']).toBe(2 * half);
  expect(told['Storage rows']).toBe(half + found.length);
});

it('fetches no row that its entry rules out', async () => {
  await start(everywhere());
  const some = `select id, v from t where w < ${half} and x = 3 and v % 2 = 1 order by w`;
  const passing = all.filter(({ w, x }) => w < half && x === 3);
  expect(await ask(some)).toEqual(
    passing.filter(({ v }) => v % 2 === 1).map(({ id, v }) => [id, v]),
  );
  expect((await ask(`explain ${some}`)).map(String).join()).toContain(
    'At Stores: index filter, filter, columns',
  );
  const told = await world.told(some);
  expect(told['Evaluated rows']).toBe(half + passing.length);
  expect(told['Storage rows']).toBeLessThanOrEqual(2 * passing.length);
});

it('makes groups where the rows are', async () => {
  await start(everywhere());
  const groups = `select g, count(*), sum(v) from t where w < ${half} group by g order by g`;
  const sums = [0, 1, 2, 3, 4, 5, 6].map((g) => {
    const members = all.filter((one) => one.w < half && one.g === g);
    return [g, BigInt(members.length), BigInt(members.reduce((sum, { v }) => sum + v, 0))];
  });
  expect(await ask(groups)).toEqual(sums);
  const told = await world.told(groups);
  expect(told['Storage rows']).toBeLessThanOrEqual(half + pieces * 7);
});

it('reads little where little is wanted', async () => {
  await start(everywhere());
  const few = `select id, v, body from t where w >= 0 order by w limit 3`;
  expect(await world.told(few)).toEqual({
    'Storage requests': 2,
    'Storage rows': 6,
    'Storage bytes': expect.any(Number),
  });
  const filtered = await world.told(
    `select id, body from t where w >= 0 and v % 2 = 0 order by w limit 3`,
  );
  expect(filtered['Storage rows']).toBeLessThanOrEqual(64 + 12);
});

it('goes on where an answer ended', async () => {
  await start({
    ...everywhere(),
    limits: { programKeysMax: 4, programRowsFree: 1, programsRunningMax: 1 },
  });
  expect(await ask(question)).toEqual(answer);
});

it('asks for fewer rows where they are too much for an answer', async () => {
  const limits = { getBytesMax: 700 };
  for (const options of [{ limits }, { ...everywhere(), limits }]) {
    await start(options);
    expect(await ask(question)).toEqual(answer);
    const ids = Array.from({ length: 40 }, (_, id) => id);
    const points = await ask(`select id, body from t where id in (${ids.join()}) order by id`);
    expect(points.map(([id]) => id)).toEqual(ids);
    if (!('programs' in options)) await world.end();
  }
});

it('reads rows where stores know no programs', async () => {
  await start({});
  expect(await ask(question)).toEqual(answer);
  expect(await world.told(question)).toEqual({
    'Storage requests': expect.any(Number),
    'Storage rows': 2 * half,
    'Storage bytes': expect.any(Number),
  });
});

it('reads rows of the stores that know no programs', async () => {
  await start(notEverywhere());
  expect(await ask(question)).toEqual(answer);
});

it('shows the writes of its own transaction', async () => {
  await start(everywhere());
  const [first, second, third] = found;
  await ask(
    `begin; delete from t where id = ${first?.id}; update t set v = 0 where id = ${second?.id};
     update t set v = 1000 where id = ${third?.id}; insert into t values (1000, 1, 1, ${half - 1}, 1, null)`,
  );
  const rest = answer.slice(3);
  const third1000 = [third?.id, 1000];
  const expected = [third1000, ...rest].sort(() => 0);
  const seen = await ask(question);
  expect(seen).toHaveLength(expected.length + 1);
  expect(seen.slice(0, -1)).toEqual(expected);
  expect(seen.at(-1)).toEqual([1000, 1]);
  await ask('rollback');
  expect(await ask(question)).toEqual(answer);
});

it('is a read of every row that was looked at', async () => {
  await start(everywhere());
  const other = world.newSession();
  const left = all.find(({ w, v }) => w < half && v % 3 !== 1);
  await ask('begin isolation level serializable');
  expect(await ask(question)).toEqual(answer);
  // It was left out, and would not be now.
  await ask(`update t set v = 1 where id = ${left?.id}`, other);
  await ask('insert into u values (1000, 1)');
  await expect(ask('commit')).rejects.toMatchObject({ code: '40001' });
});

it('lets what it has read be locked and written', async () => {
  await start(everywhere());
  const other = world.newSession();
  const [first, second] = found;
  for (const level of ['serializable', 'repeatable read', 'read committed']) {
    await ask(`begin isolation level ${level}`);
    expect(await ask(question)).toEqual(answer);
    await ask(`select v from t where id = ${first?.id} for update`);
    await ask(`update t set g = g + 1 where id in (${first?.id}, ${second?.id})`);
    await ask('commit');
  }
  await ask('begin isolation level repeatable read');
  expect(await ask(question)).toEqual(answer);
  await ask(`update t set g = 0 where id = ${second?.id}`, other);
  const write = ask(`update t set g = 1 where id = ${second?.id}`).then(() => ask('commit'));
  await expect(write).rejects.toMatchObject({ code: '40001' });
  await ask('rollback');
});

it('sees one snapshot', async () => {
  await start(everywhere());
  const other = world.newSession();
  await ask('begin isolation level repeatable read');
  expect(await ask(question)).toEqual(answer);
  await ask(`update t set v = v + 1 where v % 5 = 1`, other);
  await ask('delete from t where g = 3', other);
  expect(await ask(question)).toEqual(answer);
  await ask('commit');
});

it('raises the error of a row, after the rows before it in the index', async () => {
  await start(everywhere());
  const bad = all[40]?.v ?? 0;
  const failing = `select id from t where w < ${half} and 10 / (v - ${bad}) < 100 order by w`;
  await expect(ask(failing)).rejects.toMatchObject({ code: '22012' });
  expect(await ask(`${failing} limit 20`)).toEqual(all.slice(0, 20).map(({ id }) => [id]));
});

it('looks up rows for a join where they are', async () => {
  await start(everywhere());
  const joined = 'select u.k, t.v from u join t on t.id = u.t_id and t.v % 4 = 1 where u.k < 60';
  const plan = (await ask(`explain ${joined}`)).map(String).join('\n');
  expect(plan).toContain('Key Lookup Join on t');
  expect(plan).toContain('At Stores: filter, columns');
  const pairs = Array.from({ length: 60 }, (_, k) => [k, (k * 11) % rows]).filter(
    ([, v]) => v !== rows - 1 && (v ?? 0) % 4 === 1,
  );
  expect(await ask(`${joined} order by k`)).toEqual(pairs);
  const told = await world.told(joined);
  expect(told['Evaluated rows']).toBeGreaterThanOrEqual(59);
  expect(told['Storage rows']).toBeLessThanOrEqual(60 + pairs.length);
});
