import { describe, expect, it } from 'vitest';
import { checkListAppend, type ListTransaction, printAnomalies } from './list-append.ts';

/** One letter per transaction; `x1` appends 1 to x, `x=12` reads [1, 2]. A name with `!` was aborted, with `?` is open. */
function history(...lines: readonly string[]): readonly ListTransaction[] {
  return lines.map((line) => {
    const [name = '', ...steps] = line.split(' ');
    return {
      name,
      outcome: name.endsWith('!') ? 'aborted' : name.endsWith('?') ? 'unknown' : 'committed',
      operations: steps.map((step) => {
        const key = step.slice(0, 1);
        return step[1] === '='
          ? { kind: 'read', key, values: [...step.slice(2)].map(Number) }
          : { kind: 'append', key, value: Number(step.slice(1)) };
      }),
    };
  });
}

function kinds(...lines: readonly string[]): string[] {
  return checkListAppend(history(...lines)).map(({ kind }) => kind);
}

describe('list-append checker', () => {
  it('finds nothing in what one after the other explains', () => {
    expect(kinds('a x1 y1', 'b x=1 y2', 'c x=1 y=12 x2', 'd x=12', 'e?')).toEqual([]);
  });

  it('may take an unknown one for made', () => {
    expect(kinds('a? x1', 'b x=1')).toEqual([]);
  });

  it.each([
    ['G0', ['a x1 y2', 'b x2 y1', 'c x=12', 'd y=12']],
    ['G1a', ['a! x1', 'b x=1']],
    ['G1b', ['a x1 x2', 'b x=1', 'c x=12']],
    ['G1c', ['a x1 y=1', 'b y1 x=1']],
    ['G-single', ['a x1 y1', 'b x=1 y=', 'c y=1']],
    ['G2', ['a x= y1', 'b y= x1', 'c x=1 y=1']],
    ['incompatible-order', ['a x1', 'b x2', 'c x=12', 'd x=21']],
    ['incompatible-order', ['a x1', 'b x=11']],
    ['incompatible-order', ['a x=7']],
    ['internal', ['a x1 x=']],
    ['internal', ['a x1', 'b x=1 x2 x=1']],
  ])('names %s', (kind, lines) => {
    expect(kinds(...lines)).toContain(kind);
  });

  const timed = (
    ...lines: readonly (readonly [string, number, number, ('read committed' | undefined)?])[]
  ): string[] => {
    const plain = history(...lines.map(([line]) => line));
    return checkListAppend(
      plain.map((each, i) => {
        const [, calledAt, returnedAt, isolation] = lines[i] ?? ['', 0, 0];
        return { ...each, calledAt, returnedAt, isolation, process: each.name.slice(0, 1) };
      }),
    ).map(({ kind }) => kind);
  };

  it('an anti-dependency of READ COMMITTED forbids nothing, its dependencies do', () => {
    const rc = 'read committed';
    expect(timed(['a x= y1', 0, 1], ['b y= x1', 0, 1, rc], ['c x=1 y=1', 2, 3])).toEqual([]);
    expect(timed(['a x1 y=1', 0, 1, rc], ['b y1 x=1', 0, 1, rc])).toContain('G1c');
  });

  it('a later statement of READ COMMITTED may show more, and never less of its own', () => {
    const rc = 'read committed';
    const lines = (last: string) =>
      [
        ['a x1', 0, 1],
        [`b x= ${last}`, 0, 2, rc],
      ] as const;
    expect(timed(...lines('x=1'))).toEqual([]);
    expect(timed(...lines('x2 x=12'))).toEqual([]);
    expect(timed(...lines('x2 x=1'))).toContain('internal');
  });

  it('what was acknowledged is seen by whoever begins later, and in the order of one client', () => {
    expect(timed(['a x1', 0, 1], ['b x=', 2, 3], ['c x=1', 4, 5])).toEqual(['stale-read']);
    expect(timed(['a x1', 0, 3], ['b x=', 2, 3], ['c x=1', 4, 5])).toEqual([]);
    expect(timed(['a x1', 0, 1], ['b x2', 0, 1], ['c x=2', 4, 5])).toEqual(['lost-append']);
    // Two snapshots of one client, the later one of the earlier state; others have not been told of the append.
    expect(timed(['a x1', 0, 9], ['b1 x=1', 1, 2], ['b2 x=', 3, 4])).toEqual(['G-single']);
  });

  it('a lost update is one anti-dependency', () => {
    expect(kinds('a x= x1', 'b x= x2', 'c x=12')).toEqual(['G-single']);
  });

  it('a long fork is two', () => {
    expect(kinds('a x1', 'b y1', 'c x=1 y=', 'd x= y=1', 'e x=1 y=1')).toEqual(['G2']);
  });

  it('judges long histories in a moment, and finds the one anomaly in them', () => {
    const lists = new Map<string, number[]>();
    const listOf = (n: number): readonly [string, number[]] => {
      const key = `k${n % 37}-${Math.floor(n / 2000)}`;
      const values = lists.get(key) ?? [];
      lists.set(key, values);
      return [key, values];
    };
    const long: ListTransaction[] = Array.from({ length: 12_000 }, (_, n) => {
      const [read, seen] = listOf(n * 7);
      const [written, values] = listOf(n * 11 + 1);
      const operations: ListTransaction['operations'] = [
        { kind: 'read', key: read, values: [...seen] },
        { kind: 'append', key: written, value: n },
      ];
      values.push(n);
      return { name: `t${n}`, operations, outcome: 'committed' };
    });
    const before = process.cpuUsage();
    expect(checkListAppend(long)).toEqual([]);
    const skew = history('a x= y1', 'b y= x1', 'c x=1 y=1');
    const found = checkListAppend([...long, ...skew]);
    expect(found.map(({ kind }) => kind)).toEqual(['G2']);
    // Trying every edge as the beginning of a cycle takes many times as much.
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1e6).toBeLessThan(4);
  });

  it('prints the smallest cycle', () => {
    const found = checkListAppend(history('z w1', 'a x= y1', 'b y= x1', 'c x=1 y=1 w=1'));
    expect(printAnomalies(found)).toBe(
      ['G2', '  a -rw-> b: x: it has not read 1', '  b -rw-> a: y: it has not read 1'].join('\n'),
    );
  });
});
