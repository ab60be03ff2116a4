import { hlcEpochMs } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { type Fate, keyText, TransactionTrace } from '../../workload/transactions/trace.ts';
import { checkTimestamps } from './timestamps.ts';
import { VersionHistory } from './versions.ts';

/** Timestamps here are true milliseconds; keys are written as they stand in histories, behind two bytes. */
const at = (ms: number): number => ms * 4096;
const key = (name: string): string => keyText(Buffer.from(`\x08\x00${name}`));

interface Told {
  readonly fate?: Fate;
  readonly isolation?: 'serializable' | 'read committed';
  readonly began?: number;
  readonly ended?: number;
  readonly committed?: number;
  readonly writes?: readonly string[];
  readonly deletes?: readonly string[];
  /** `x@5=2`: at 5 it saw the version of 2. With `!`: under a lock. */
  readonly reads?: readonly string[];
  /** `a-c@5=a2,b3`. */
  readonly scans?: readonly string[];
}

function trace(name: string, told: Told): TransactionTrace {
  const { fate = 'committed', isolation = 'serializable', began = 0, ended = 100 } = told;
  const made = new TransactionTrace({
    name,
    client: name,
    workload: 'bank',
    isolation,
    beganAt: began,
  });
  made.end(fate, ended);
  made.toldTimestamp = at(told.committed ?? 0);
  for (const each of told.writes ?? []) made.writes.set(key(each), 'put');
  for (const each of told.deletes ?? []) made.writes.set(key(each), 'delete');
  for (const read of told.reads ?? []) {
    const [, name = '', when = '', version = '', lock] = /^(\w+)@(\d+)=(\d+)(!?)$/.exec(read) ?? [];
    made.reads.push({
      key: key(name),
      at: at(Number(when)),
      version: at(Number(version)),
      locked: lock === '!',
      askedAt: began,
    });
  }
  for (const scan of told.scans ?? []) {
    const [, start = '', end = '', when = '', rows = ''] =
      /^(\w)-(\w)@(\d+)=(.*)$/.exec(scan) ?? [];
    made.spans.push({
      startKey: key(start),
      endKey: key(end),
      at: at(Number(when)),
      rows: new Map(
        rows
          .split(',')
          .filter(Boolean)
          .map((row) => [key(row.slice(0, 1)), at(Number(row.slice(1)))]),
      ),
      askedAt: began,
    });
  }
  return made;
}

/** `x 2 t 5`: of x a version of t from 2 to 5; without an end it is the newest. */
function versions(...lines: readonly string[]): VersionHistory {
  const history = new VersionHistory();
  for (const line of lines) {
    const [name = '', from = '', writer = '', until] = line.split(' ');
    const supersededAt = until === undefined ? Number.POSITIVE_INFINITY : at(Number(until));
    history.add(key(name), { timestamp: at(Number(from)), supersededAt, value: `${writer}|1` });
  }
  return history;
}

function judge(history: VersionHistory, ...traces: readonly TransactionTrace[]): string {
  try {
    checkTimestamps(traces, history, { trueEpochMs: hlcEpochMs, wallErrorMs: 10 });
    return 'holds';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('timestamps of transactions', () => {
  const t = trace('t', { committed: 20, writes: ['x', 'y'], reads: ['x@10=5', 'z@10=0'] });
  const past = trace('u', { committed: 5, writes: ['x'], began: 0, ended: 50 });

  it('hold where one order explains all', () => {
    expect(judge(versions('x 5 u 20', 'x 20 t', 'y 20 t'), t, past)).toBe('holds');
    const lost = trace('v', { fate: 'unknown', writes: ['w', 'x'] });
    expect(judge(versions('x 5 u 20', 'x 20 t', 'y 20 t'), t, past, lost)).toBe('holds');
    const gone = trace('d', { committed: 30, deletes: ['y'], reads: ['y@25=20'] });
    expect(judge(versions('x 5 u 20', 'x 20 t', 'y 20 t 30'), t, past, gone)).toBe('holds');
  });

  it.each<[string, RegExp, VersionHistory, readonly TransactionTrace[]]>([
    ['a write is missing', /put of "y" is missing/, versions('x 5 u 20', 'x 20 t'), [t, past]],
    [
      'writes have two timestamps',
      /put of "y" is missing at/,
      versions('x 5 u 20', 'x 20 t', 'y 21 t'),
      [t, past],
    ],
    [
      'it was told another timestamp',
      /committed at .*, its writes are at/,
      versions('x 5 u 22', 'x 22 t', 'y 22 t'),
      [t, past],
    ],
    [
      'it was told that it is aborted',
      /"x" has its version/,
      versions('x 20 a'),
      [trace('a', { fate: 'aborted', writes: ['x'] })],
    ],
    [
      'its commit had not begun',
      /"x" has its version/,
      versions('x 20 a'),
      [trace('a', { fate: 'open', writes: ['x'] })],
    ],
    [
      'half of an unknown one is there',
      /put of "y" is missing/,
      versions('x 20 a'),
      [trace('a', { fate: 'unknown', writes: ['x', 'y'] })],
    ],
    [
      'a key that it never wrote has a version of it',
      /never wrote "y"/,
      versions('x 20 a', 'y 20 a'),
      [trace('a', { committed: 20, writes: ['x'] })],
    ],
    [
      'what it locked was not there at one moment, and it wrote nothing',
      /of "x" it saw version 20480, which was no more when 81920 of "y" came/,
      versions('x 5 u 20', 'x 20 t', 'y 20 t'),
      [trace('r', { reads: ['x@0=5!', 'y@0=20!'] })],
    ],
    ['a version is of nobody', /is of nobody/, versions('x 20 who'), []],
    [
      'something came below a read, of an aborted transaction too',
      /read at .* of "x" it saw version 0/,
      versions('x 5 u'),
      [past, trace('r', { fate: 'aborted', reads: ['x@10=0'] })],
    ],
    [
      'a read has changed by the commit',
      /commits at .* of "x" it saw version/,
      versions('x 5 u 15', 'x 15 w', 'y 20 r'),
      [
        past,
        trace('w', { committed: 15, writes: ['x'] }),
        trace('r', { committed: 20, writes: ['y'], reads: ['x@10=5'] }),
      ],
    ],
    [
      'a locked key has changed by the commit',
      /commits at .* of "x" it saw version/,
      versions('x 5 u 15', 'x 15 w', 'y 20 r'),
      [
        past,
        trace('w', { committed: 15, writes: ['x'] }),
        trace('r', {
          isolation: 'read committed',
          committed: 20,
          writes: ['y'],
          reads: ['x@10=5!'],
        }),
      ],
    ],
    [
      'an update is lost',
      /commits at .* of "x" it saw version/,
      versions('x 5 u 15', 'x 15 w 20', 'x 20 r'),
      [
        past,
        trace('w', { committed: 15, writes: ['x'] }),
        trace('r', {
          isolation: 'read committed',
          committed: 20,
          writes: ['x'],
          reads: ['x@10=5'],
        }),
      ],
    ],
    [
      'a row comes into a span that was scanned',
      /scanned at .* of "b" it saw version 0/,
      versions('a 5 u', 'b 6 u'),
      [
        trace('u', { fate: 'unknown', writes: ['a', 'b'] }),
        trace('r', { scans: ['a-c@10=a5'] }),
      ].slice(1),
    ],
    [
      'what was acknowledged is not seen',
      /acknowledged before/,
      versions('x 45 u'),
      [
        trace('u', { committed: 45, writes: ['x'], ended: 50 }),
        trace('r', { began: 60, reads: ['x@40=0'] }),
      ],
    ],
    [
      'it commits in the future',
      /commits at 200/,
      versions('x 200 u'),
      [trace('u', { committed: 200, writes: ['x'], ended: 50 })],
    ],
    [
      'it commits before it began',
      /commits at 20/,
      versions('x 20 u'),
      [trace('u', { committed: 20, writes: ['x'], began: 40, ended: 50 })],
    ],
  ])('do not where %s', (_name, message, history, traces) => {
    expect(judge(history, ...traces)).toMatch(message);
  });

  it('of READ COMMITTED bind neither reads that were not locked, nor earlier ones of a key', () => {
    const history = versions('x 5 u 15', 'x 15 w', 'y 20 r');
    const w = trace('w', { committed: 15, writes: ['x'] });
    const r = { isolation: 'read committed', committed: 20, writes: ['y'] } as const;
    expect(judge(history, past, w, trace('r', { ...r, reads: ['x@10=5'] }))).toBe('holds');
    expect(judge(history, past, w, trace('r', { ...r, reads: ['x@10=5', 'x@18=15!'] }))).toBe(
      'holds',
    );
  });

  it('do not go by answers that nobody was shown, but by those that were', () => {
    const history = versions('x 5 u 20', 'x 20 t', 'y 20 t');
    const t = trace('t', { committed: 20, writes: ['x', 'y'] });
    const shown = (x: string | undefined, seen?: string): string => {
      const r = trace('r', {});
      for (const [name, value, version, when] of [
        ['x', 'u|1', 5, seen === undefined ? 10 : 25],
        ['x', 't|1', 20, 20],
        ['y', 't|1', 20, 20],
      ] as const) {
        const read = { key: key(name), value, version: at(version), at: at(when) };
        r.reads.push({ ...read, locked: false, askedAt: 0 });
      }
      r.onShown(
        0,
        new Map([
          [key('x'), x],
          [key('y'), 't|1'],
        ]),
      );
      return judge(history, past, t, r);
    };
    expect(shown('t|1')).toBe('holds');
    // The transaction's own write was shown: of the answers nothing is known.
    for (const old of ['u|1', 'own']) expect(shown(old)).toMatch(/was no more when/);
    expect(shown('t|1', 'too late')).toMatch(/read at .* of "x" it saw version/);
  });
});
