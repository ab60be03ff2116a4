/** Portals and cursors are one thing to a client: what the protocol has bound SQL fetches from, what SQL has declared the protocol describes and executes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  fields,
  flush,
  parse,
  query,
  RawClient,
  sync,
  values,
} from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let world: TestGateway;
let client: RawClient;
beforeEach(async () => {
  world = await startSqlGateway();
  ({ client } = await RawClient.ready(world.gateway.port));
  await said(query('begin'));
});
afterEach(async () => {
  client.destroy();
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

/** Rows, tags, suspensions and errors up to ReadyForQuery. */
async function said(...messages: Buffer[]): Promise<string[]> {
  client.send(...messages);
  return (await client.untilReady()).flatMap(({ type, body }) => {
    if (type === 'D') return [values(body).join('|')];
    if (type === 'C') return [body.toString().slice(0, -1)];
    if (type === 'E') return [`${fields(body).C} ${fields(body).M}`];
    return type === 's' ? ['suspended'] : type === 'T' ? ['columns'] : type === 'n' ? ['none'] : [];
  });
}

const series = parse('select g from generate_series(1, 1000) g');
const portal = 'p';

describe('a portal', () => {
  test('is moved and fetched from by SQL, and goes on where that has left it', async () => {
    await said(series, bind({ portal }), sync);
    expect(await said(query('move forward 10 p'))).toEqual(['MOVE 10']);
    expect(await said(execute(2, portal), sync)).toEqual(['11', '12', 'suspended']);
    expect(await said(query('fetch 2 from p'))).toEqual(['columns', '13', '14', 'FETCH 2']);
    expect(await said(query('move 980 in p'))).toEqual(['MOVE 980']);
    expect(await said(query('fetch all from p'))).toEqual([
      'columns',
      ...['995', '996', '997', '998', '999', '1000'],
      'FETCH 6',
    ]);
    expect(await said(execute(0, portal), sync)).toEqual(['SELECT 0']);
  });

  test('does not go back', async () => {
    await said(series, bind({ portal }), sync);
    expect(await said(query('fetch backward 1 from p'))).toEqual([
      '55000 cursor can only scan forward',
    ]);
  });

  test('is closed by SQL', async () => {
    await said(series, bind({ portal }), execute(1, portal), sync);
    expect(await said(query('close p'))).toEqual(['CLOSE CURSOR']);
    expect(await said(execute(1, portal), sync)).toEqual(['34000 portal "p" does not exist']);
  });

  test('has an error where its statement has one', async () => {
    await said(parse('select 10 / (3 - g) from generate_series(1, 9) g'), bind({ portal }), sync);
    expect(await said(query('fetch 9 from p'))).toEqual(['22012 division by zero']);
    expect(await said(query('select 1'))).toEqual([
      '25P02 current transaction is aborted, commands ignored until end of transaction block',
    ]);
  });
});

describe('a cursor', () => {
  test('is described, executed and closed by messages', async () => {
    await said(query('declare c cursor for select g from generate_series(1, 600) g'));
    expect(await said(describeMessage('P', 'c'), flush, sync)).toEqual(['columns']);
    expect(await said(execute(2, 'c'), sync)).toEqual(['1', '2', 'suspended']);
    expect(await said(query('move 596 in c'))).toEqual(['MOVE 596']);
    expect(await said(execute(0, 'c'), sync)).toEqual(['599', '600', 'SELECT 2']);
    await said(close('P', 'c'), sync);
    expect(await said(query('fetch 1 from c'))).toEqual(['34000 cursor "c" does not exist']);
  });
});
