/**
 * Records what PostgreSQL 15 answers: rewrites the expectations of testdata/postgres/*.txt from a live server. Each file
 * runs on an empty schema. Usage: PGHOST=… PGPORT=… PGUSER=… node packages/sql/testdata/record.mjs [file…]
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import pg from 'pg';

const directory = join(import.meta.dirname, 'postgres');
const raw = { getTypeParser: () => (value) => value };

function readCases(text) {
  return text
    .split(/\n\n+/)
    .map((block) => block.trim())
    .filter((block) => block !== '')
    .map((block) => {
      const lines = block.split('\n');
      const end = lines.indexOf('----');
      const input = end < 0 ? lines : lines.slice(0, end);
      const comments = input.filter((line) => line.startsWith('# '));
      const parameters = input.find((line) => line.startsWith('$ '));
      const sql = input
        .filter((line) => !line.startsWith('# ') && !line.startsWith('$ '))
        .join('\n');
      return { comments, sql, parameters };
    });
}

function answer(result, tag, sql) {
  const isQuery = result.command === 'SELECT' && !sql.startsWith('create ');
  if (result.fields.length === 0 && !isQuery) return [tag];
  const head = result.fields
    .map((field) =>
      field.dataTypeModifier === -1
        ? `${field.name}:${shownType(field.dataTypeID)}`
        : `${field.name}:${shownType(field.dataTypeID)}/${field.dataTypeModifier}`,
    )
    .join('|');
  return [`(${head})`, ...result.rows.map((row) => row.map(shown).join('|'))];
}

/** Types that a user made have another oid each time. */
function shownType(oid) {
  return oid < 16_384 ? oid : 'own';
}

function shown(value) {
  return value === null
    ? '∅'
    : value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('|', '\\|');
}

function failure(error) {
  const position = error.position === undefined ? '' : ` @${error.position}`;
  const detail = error.detail === undefined ? [] : [`DETAIL ${error.detail}`];
  const where = ['schema', 'table', 'column', 'constraint']
    .filter((field) => error[field] !== undefined)
    .map((field) => `${field}=${error[field]}`);
  return [
    `ERROR ${error.code}${position} ${error.message}`,
    ...detail,
    ...(where.length === 0 ? [] : [`WHERE ${where.join(' ')}`]),
  ];
}

async function record(file) {
  const client = new pg.Client({ database: 'postgres', application_name: 'record' });
  await client.connect();
  await client.query(
    'drop schema public cascade; create schema public; set client_min_messages to notice',
  );
  const notices = [];
  client.on('notice', (notice) =>
    notices.push(`${notice.severity} ${notice.code} ${notice.message}`),
  );
  let status = 'I';
  client.connection.on('readyForQuery', (message) => {
    status = message.status;
  });
  const tags = [];
  client.connection.on('commandComplete', ({ text }) => tags.push(text));
  const blocks = [];
  for (const { comments, sql, parameters } of readCases(readFileSync(file, 'utf8'))) {
    if (sql === '') {
      blocks.push(comments.join('\n'));
      continue;
    }
    notices.length = 0;
    tags.length = 0;
    let lines;
    try {
      const query = { text: sql, rowMode: 'array', types: raw };
      const result = await client.query(
        parameters === undefined ? query : { ...query, values: JSON.parse(parameters.slice(2)) },
      );
      const last = [result].flat().flatMap((one, i) => answer(one, tags[i] ?? '', sql));
      lines = [...notices, ...last];
    } catch (error) {
      lines = [...notices, ...failure(error)];
      await client.query(''); // the error comes before the status
    }
    if (status !== 'I') lines.push(`STATUS ${status}`);
    blocks.push(
      [...comments, sql, ...(parameters === undefined ? [] : [parameters]), '----', ...lines].join(
        '\n',
      ),
    );
  }
  await client.end();
  writeFileSync(file, `${blocks.join('\n\n')}\n`);
}

const wanted = process.argv.slice(2);
for (const name of readdirSync(directory)
  .filter((name) => name.endsWith('.txt'))
  .sort())
  if (wanted.length === 0 || wanted.includes(basename(name, '.txt')))
    await record(join(directory, name));
