/**
 * Records what PostgreSQL 15 answers to the conversations of testdata/*.txt, each file on an empty schema. Build first.
 * Usage: PGHOST=<socket directory> PGUSER=… node packages/gateway/testdata/record.mjs [file…]
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { startup } from '../dist/testing/raw-client.js';
import { encodeLine, readyCount, showMessage } from '../dist/testing/wire-script.js';

const { PGHOST = '/tmp', PGPORT = '5432', PGUSER = 'postgres' } = process.env;

async function open() {
  const socket = connect(join(PGHOST, `.s.PGSQL.${PGPORT}`));
  let held = Buffer.alloc(0);
  const inbox = [];
  let wake = () => {};
  socket.on('data', (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 5 && held.length > held.readInt32BE(1)) {
      const end = held.readInt32BE(1) + 1;
      inbox.push({ type: String.fromCharCode(held[0]), body: held.subarray(5, end) });
      held = held.subarray(end);
    }
    wake();
  });
  const until = async (ready) => {
    const messages = [];
    while (ready > 0) {
      while (inbox.length === 0) await new Promise((resolve) => (wake = resolve));
      const message = inbox.shift();
      messages.push(message);
      if (message.type === 'Z') ready--;
    }
    return messages;
  };
  socket.write(startup({ user: PGUSER, database: 'postgres', TimeZone: 'UTC' }));
  await until(1);
  return { socket, until };
}

async function record(file) {
  const { socket, until } = await open();
  socket.write(encodeLine('query drop schema public cascade; create schema public'));
  await until(1);
  const blocks = [];
  for (const block of readFileSync(file, 'utf8').trim().split(/\n\n+/)) {
    const lines = block.split('\n');
    const end = lines.indexOf('----');
    const kept = end < 0 ? lines : lines.slice(0, end);
    const said = kept.filter((line) => !line.startsWith('# '));
    if (said.length === 0) {
      blocks.push(kept.join('\n'));
      continue;
    }
    socket.write(Buffer.concat(said.map(encodeLine)));
    const heard = (await until(readyCount(said))).map(showMessage);
    blocks.push([...kept, '----', ...heard].join('\n'));
  }
  socket.destroy();
  writeFileSync(file, `${blocks.join('\n\n')}\n`);
}

const wanted = process.argv.slice(2);
for (const name of readdirSync(import.meta.dirname).sort())
  if (name.endsWith('.txt') && (wanted.length === 0 || wanted.includes(basename(name, '.txt'))))
    await record(join(import.meta.dirname, name));
