/**
 * What every engine must do. Cases, not tests: a test file runs each on its own empty engine, whatever the framework.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import type { Engine, EngineOperation, EngineRow, EngineSpan } from '../engine/engine.ts';

export interface EngineUnderTest {
  readonly engine: Engine;
  /** The engine that a machine finds after power loss right now. May be called once. */
  afterPowerLoss(): Promise<Engine>;
}

const key = (text: string): Buffer => Buffer.from(text);
const put = (k: string, v: string): EngineOperation => ({
  type: 'put',
  key: key(k),
  value: key(v),
});
const del = (k: string): EngineOperation => ({ type: 'del', key: key(k) });
const everything: EngineSpan = { startKey: Buffer.alloc(0), endKey: Buffer.of(0xff) };

async function readAll(
  engine: Engine,
  span: EngineSpan = everything,
  reverse = false,
  chunk = 2,
): Promise<string[]> {
  const iterator = engine.iterate(span, { reverse });
  const rows: EngineRow[] = [];
  for (;;) {
    const next = await iterator.next(chunk);
    ok(next.length <= chunk);
    if (next.length === 0) break;
    rows.push(...next);
  }
  await iterator.close();
  return rows.map((row) => `${row.key.toString()}=${row.value.toString()}`);
}

export interface EngineCase {
  readonly name: string;
  readonly run: (subject: EngineUnderTest) => Promise<void>;
}

export const engineCases: readonly EngineCase[] = [
  {
    name: 'reads what was written, and nothing else',
    run: async ({ engine }) => {
      strictEqual(engine.get(key('a')), undefined);
      await engine.write([put('a', '1'), put('b', '2'), del('a'), put('c', '')]);
      strictEqual(engine.get(key('a')), undefined);
      strictEqual(engine.get(key('b'))?.toString(), '2');
      strictEqual(engine.get(key('c'))?.length, 0);
      const many = engine.getMany([key('c'), key('a'), key('b')]).map(String);
      deepStrictEqual(many, ['', 'undefined', '2']);
    },
  },
  {
    name: 'keeps keys in unsigned byte order',
    run: async ({ engine }) => {
      const keys = [[0], [0, 0], [0, 0xff], [1], [0x7f], [0x80], [0xfe, 0xff]].map((bytes) =>
        Buffer.from(bytes),
      );
      await engine.write(keys.toReversed().map((k) => ({ type: 'put', key: k, value: k })));
      const iterator = engine.iterate(everything);
      const rows = await iterator.next(100);
      await iterator.close();
      deepStrictEqual(
        rows.map((row) => row.key.toString('hex')),
        keys.map((k) => k.toString('hex')),
      );
    },
  },
  {
    name: 'iterates half-open spans in chunks, both ways',
    run: async ({ engine }) => {
      await engine.write(['a', 'b', 'c', 'd', 'e'].map((k) => put(k, k)));
      const span = { startKey: key('b'), endKey: key('e') };
      deepStrictEqual(await readAll(engine, span), ['b=b', 'c=c', 'd=d']);
      deepStrictEqual(await readAll(engine, span, true), ['d=d', 'c=c', 'b=b']);
      deepStrictEqual(await readAll(engine, { startKey: key('bb'), endKey: key('bc') }), []);
      deepStrictEqual(await readAll(engine, span, true, 1), ['d=d', 'c=c', 'b=b']);
    },
  },
  {
    name: 'iterates the state at the call, whatever is written meanwhile',
    run: async ({ engine }) => {
      await engine.write([put('a', '1'), put('b', '1'), put('c', '1')]);
      const iterator = engine.iterate(everything);
      await engine.write([put('a', '2'), del('b'), put('d', '2')]);
      const rows = [...(await iterator.next(2)), ...(await iterator.next(10))];
      await iterator.close();
      deepStrictEqual(
        rows.map((row) => `${row.key}=${row.value}`),
        ['a=1', 'b=1', 'c=1'],
      );
      deepStrictEqual(await readAll(engine), ['a=2', 'c=1', 'd=2']);
    },
  },
  {
    name: 'reads several keys at one instant beside a write',
    run: async ({ engine }) => {
      for (let round = 0; round < 50; round++) {
        const written = engine.write([put('x', `${round}`), put('y', `${round}`)]);
        let done = false;
        const finished = written.then(() => {
          done = true;
        });
        while (!done) {
          const [x, y] = engine.getMany([key('x'), key('y')]).map(String);
          strictEqual(x, y);
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
        await finished;
      }
    },
  },
  {
    name: 'lets the caller reuse its bytes once write has returned',
    run: async ({ engine }) => {
      const bytes = key('same');
      const written = engine.write([{ type: 'put', key: key('k'), value: bytes }]);
      bytes.fill(0);
      await written;
      strictEqual(engine.get(key('k'))?.toString(), 'same');
    },
  },
  {
    name: 'refuses a second write while one is outstanding',
    run: async ({ engine }) => {
      const first = engine.write([put('a', '1')]);
      await rejects(engine.write([put('a', '2')]), /one engine write/);
      await first;
      await engine.write([put('a', '3')]);
      strictEqual(engine.get(key('a'))?.toString(), '3');
    },
  },
  {
    name: 'keeps through power loss what was flushed',
    run: async (subject) => {
      const { engine } = subject;
      await engine.write(Array.from({ length: 500 }, (_, i) => put(`k${i}`, `v${i}`)));
      await engine.write([del('k7'), put('k8', 'new')]);
      await engine.flush();
      await engine.write([put('late', 'x')]);
      const survivor = await subject.afterPowerLoss();
      strictEqual(survivor.get(key('k0'))?.toString(), 'v0');
      strictEqual(survivor.get(key('k499'))?.toString(), 'v499');
      strictEqual(survivor.get(key('k7')), undefined);
      strictEqual(survivor.get(key('k8'))?.toString(), 'new');
      await survivor.close();
    },
  },
  {
    name: 'flushes beside a write and without anything to flush',
    run: async ({ engine }) => {
      await engine.flush();
      await engine.write([put('a', '1')]);
      await Promise.all([engine.write([put('b', '2')]), engine.flush()]);
      deepStrictEqual(await readAll(engine), ['a=1', 'b=2']);
    },
  },
];
