/**
 * psql: its lists over one object of every kind, compared with what it prints over a PostgreSQL 15 (`psql-expected.txt`, which
 * `--record` writes anew); COPY, FETCH_COUNT, \gdesc, cancelling.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectEqual } from '../frame.mjs';

const here = (file) => join(import.meta.dirname, file);
const expectedFile = here('psql-expected.txt');

export async function psql(world, { record = false } = {}) {
  await world.check('psql', 'schema with one object of every kind', () => {
    world.run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-f', here('zoo.sql')]);
  });
  await lists(world, record);
  await world.check('psql', '\\copy in and out', () => {
    world.psql('drop table if exists m_copy', 'create table m_copy (id int primary key, t text)');
    const lines = Array.from({ length: 1000 }, (_, index) => `${index}\tline ${index}\n`).join('');
    world.run('psql', ['-Xqc', '\\copy m_copy from pstdin'], { input: lines });
    expectEqual(world.psql('\\copy (select * from m_copy order by id) to stdout'), lines);
    const csv = world.psql(
      '\\copy (select * from m_copy where id < 2 order by id) to stdout csv header',
    );
    expectEqual(csv, 'id,t\n0,line 0\n1,line 1\n');
    const binary = spawnToBuffer(world, 'copy m_copy to stdout (format binary)');
    world.psql('truncate m_copy');
    world.run('psql', ['-Xqc', '\\copy m_copy from pstdin (format binary)'], { input: binary });
    expectEqual(world.psql('select count(*) from m_copy'), '1000\n');
  });
  await world.check('psql', 'FETCH_COUNT', () => {
    const found = world.run('psql', [
      ...['-XAtq', '-v', 'FETCH_COUNT=7', '-c', 'select g from generate_series(1, 5000) g'],
    ]);
    expectEqual(found.trim().split('\n').length, 5000);
  });
  await world.check('psql', '\\gdesc, \\gset, \\gexec, \\crosstabview', () => {
    const script = `select 1 as a, 'x'::varchar(3) as b, now() as c \\gdesc
select 5 as five \\gset
select :five + 1;
select format('select %s', g) from generate_series(1, 2) g \\gexec
select * from (values (1, 'x', 10), (2, 'y', 20)) v (r, c, n) \\crosstabview
`;
    const found = world.run('psql', ['-XAtq', '-f', '-'], { input: script });
    expectEqual(
      found,
      'a|integer\nb|character varying(3)\nc|timestamp with time zone\n6\n1\n2\n1|10|\n2||20\n',
    );
  });
  await world.check('psql', 'ON_ERROR_ROLLBACK, AUTOCOMMIT off', () => {
    const script = `\\set ON_ERROR_ROLLBACK on
\\set AUTOCOMMIT off
create table m_rollback (id int);
insert into m_rollback values (1);
\\set VERBOSITY sqlstate
select 1 from m_rollback where id = any (array['x']);
insert into m_rollback values (2);
commit;
select count(*) from m_rollback;
rollback;
`;
    world.psql('drop table if exists m_rollback');
    const child = world.run('sh', ['-c', 'psql -XAtq -f - 2>&1 | sed s/ERROR/refused/'], {
      input: script,
    });
    expectEqual(child.trim().split('\n').at(-1), '2');
  });
  await world.check('psql', 'Ctrl-C', async () => {
    const child = spawn('psql', ['-Xqc', 'select pg_sleep(60)'], { env: world.env });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const sleeping = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'";
    while (world.psql(sleeping) !== '1\n') await new Promise((done) => setTimeout(done, 50));
    child.kill('SIGINT');
    await once(child, 'close');
    expectEqual(said, 'Cancel request sent\nERROR:  canceling statement due to user request\n');
    expectEqual(world.psql(sleeping), '0\n');
  });
}

function spawnToBuffer(world, statement) {
  return world.run('psql', ['-Xqc', statement], { encoding: 'buffer' });
}

/** Sizes are the server's own. */
function withoutSizes(text) {
  return text.replaceAll(/\|\d+ (bytes|kB|MB|GB)\b/g, '|size');
}

async function lists(world, record) {
  const commands = readFileSync(here('psql-lists.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const compared = commands.filter((one) => !one.startsWith('~'));
  const answers = new Map();
  for (const line of commands) {
    const command = line.replace(/^~/, '');
    await world.check('psql', command, () => {
      const script = `set search_path = zoo;\n${command}\n`;
      const found = world.run('psql', ['-XAq', '-f', '-'], { input: script });
      answers.set(line, withoutSizes(found));
      if (!record && compared.includes(line)) expectEqual(answers.get(line), expected().get(line));
    });
  }
  if (record)
    writeFileSync(
      expectedFile,
      compared.map((line) => `==== ${line}\n${answers.get(line)}`).join(''),
    );
}

let known;
function expected() {
  known ??= new Map(
    readFileSync(expectedFile, 'utf8')
      .split(/^==== /m)
      .slice(1)
      .map((block) => [block.slice(0, block.indexOf('\n')), block.slice(block.indexOf('\n') + 1)]),
  );
  return known;
}
