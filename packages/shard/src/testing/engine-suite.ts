/** What every engine must do. Run by the tests of each twin: memory here, LevelDB in `../engine`. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, EngineOperation, EngineRow, EngineSpan } from '../engine/engine.ts';

export interface EngineUnderTest {
  readonly engine: Engine;
  /** The engine that a machine finds after power loss right now. May be called once. */
  afterPowerLoss(): Promise<Engine>;
  cleanUp(): Promise<void>;
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
    expect(next.length).toBeLessThanOrEqual(chunk);
    if (next.length === 0) break;
    rows.push(...next);
  }
  await iterator.close();
  return rows.map((row) => `${row.key.toString()}=${row.value.toString()}`);
}

export function engineSuite(name: string, open: () => Promise<EngineUnderTest>): void {
  describe(`engine: ${name}`, () => {
    let subject: EngineUnderTest;
    beforeEach(async () => {
      subject = await open();
    });
    afterEach(() => subject.cleanUp());

    it('reads what was written, and nothing else', async () => {
      const { engine } = subject;
      expect(engine.get(key('a'))).toBeUndefined();
      await engine.write([put('a', '1'), put('b', '2'), del('a'), put('c', '')]);
      expect(engine.get(key('a'))).toBeUndefined();
      expect(engine.get(key('b'))?.toString()).toBe('2');
      expect(engine.get(key('c'))?.length).toBe(0);
      expect(engine.getMany([key('c'), key('a'), key('b')]).map(String)).toEqual([
        '',
        'undefined',
        '2',
      ]);
    });

    it('keeps keys in unsigned byte order', async () => {
      const keys = [[0], [0, 0], [0, 0xff], [1], [0x7f], [0x80], [0xfe, 0xff]].map((k) =>
        Buffer.from(k),
      );
      await subject.engine.write(keys.toReversed().map((k) => ({ type: 'put', key: k, value: k })));
      const iterator = subject.engine.iterate(everything);
      const rows = await iterator.next(100);
      await iterator.close();
      expect(rows.map((row) => row.key.toString('hex'))).toEqual(
        keys.map((k) => k.toString('hex')),
      );
    });

    it('iterates half-open spans in chunks, both ways', async () => {
      const { engine } = subject;
      await engine.write(['a', 'b', 'c', 'd', 'e'].map((k) => put(k, k)));
      const span = { startKey: key('b'), endKey: key('e') };
      expect(await readAll(engine, span)).toEqual(['b=b', 'c=c', 'd=d']);
      expect(await readAll(engine, span, true)).toEqual(['d=d', 'c=c', 'b=b']);
      expect(await readAll(engine, { startKey: key('bb'), endKey: key('bc') })).toEqual([]);
      expect(await readAll(engine, span, true, 1)).toEqual(['d=d', 'c=c', 'b=b']);
    });

    it('iterates the state at the call, whatever is written meanwhile', async () => {
      const { engine } = subject;
      await engine.write([put('a', '1'), put('b', '1'), put('c', '1')]);
      const iterator = engine.iterate(everything);
      await engine.write([put('a', '2'), del('b'), put('d', '2')]);
      const rows = [...(await iterator.next(2)), ...(await iterator.next(10))];
      await iterator.close();
      expect(rows.map((row) => `${row.key}=${row.value}`)).toEqual(['a=1', 'b=1', 'c=1']);
      expect(await readAll(engine)).toEqual(['a=2', 'c=1', 'd=2']);
    });

    it('lets the caller reuse its bytes once write has returned', async () => {
      const bytes = key('same');
      const written = subject.engine.write([{ type: 'put', key: key('k'), value: bytes }]);
      bytes.fill(0);
      await written;
      expect(subject.engine.get(key('k'))?.toString()).toBe('same');
    });

    it('refuses a second write while one is outstanding', async () => {
      const first = subject.engine.write([put('a', '1')]);
      await expect(subject.engine.write([put('a', '2')])).rejects.toThrow(/one engine write/);
      await first;
      await subject.engine.write([put('a', '3')]);
      expect(subject.engine.get(key('a'))?.toString()).toBe('3');
    });

    it('keeps through power loss what was flushed', async () => {
      const { engine } = subject;
      await engine.write(Array.from({ length: 500 }, (_, i) => put(`k${i}`, `v${i}`)));
      await engine.write([del('k7'), put('k8', 'new')]);
      await engine.flush();
      await engine.write([put('late', 'x')]);
      const survivor = await subject.afterPowerLoss();
      expect(survivor.get(key('k0'))?.toString()).toBe('v0');
      expect(survivor.get(key('k499'))?.toString()).toBe('v499');
      expect(survivor.get(key('k7'))).toBeUndefined();
      expect(survivor.get(key('k8'))?.toString()).toBe('new');
      await survivor.close();
    });

    it('flushes beside a write and without anything to flush', async () => {
      const { engine } = subject;
      await engine.flush();
      await engine.write([put('a', '1')]);
      await Promise.all([engine.write([put('b', '2')]), engine.flush()]);
      expect(await readAll(engine)).toEqual(['a=1', 'b=2']);
    });
  });
}
